"""Virtual time: an event queue, the sources of randomness, and a trace of what happened.

Everything that a simulation does is an event here, so a seed gives the same run, step by step, every time.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

START = 1000.0  # seconds that the clocks show at the beginning
_TRACE = 400  # newest lines kept
_DEEPEST = 3  # operations of worker threads that are interrupted by one another
EVENTS_AT_MOST = 400_000


class RuleBroken(AssertionError):
    """A rule does not hold; ``rule`` is its name."""

    def __init__(self, rule: str, evidence: str) -> None:
        super().__init__(f"{rule}: {evidence}")
        self.rule = rule
        self.evidence = evidence

    def __reduce__(self) -> tuple[type[RuleBroken], tuple[str, str]]:
        return RuleBroken, (self.rule, self.evidence)  # it comes from another process


class Died(BaseException):
    """A process has ended in the middle of what it was doing."""

    def __init__(self, process: object, name: str) -> None:
        super().__init__(name)
        self.process = process


class Clock(NamedTuple):
    """What a machine's clocks show, in seconds."""

    monotonic: float
    wall: float


class World:
    """``now`` is in seconds. ``vary`` gives another order of events under the same settings and faults."""

    def __init__(self, seed: int, vary: int = 0) -> None:
        self.seed = seed
        self.rng = self.random(f"world {vary}")
        self.now = START
        self.trace: deque[str] = deque(maxlen=_TRACE)
        self.events = 0
        self.counters: dict[str, int] = {}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._depth = 0

    def random(self, what: str) -> random.Random:
        """A source of randomness of its own, so that what it is for stays as it is when something else changes."""
        return random.Random(f"{self.seed} {what}")

    def after(self, delay: float, action: Callable[[], None]) -> None:
        """Run ``action`` in ``delay`` seconds; two events of the same moment run in the order of their asking."""
        self._count += 1
        heapq.heappush(self._queue, (self.now + delay, self._count, action))

    def run_until(self, moment: float, done: Callable[[], bool] | None = None) -> bool:
        """Run events up to ``moment``, or until ``done()`` after one of them; returns whether it was done."""
        while self._queue and self._queue[0][0] <= moment:
            self._next()
            if done is not None and done():
                return True
        self.now = max(self.now, moment)
        return False

    def interrupt(self) -> None:
        """A worker thread is in the middle of an operation: let other events happen before it goes on."""
        if self._depth >= _DEEPEST or self.rng.random() > 0.5:
            return
        self._depth += 1
        try:
            for _ in range(self.rng.randrange(1, 8)):
                if self._queue:
                    self._next()
        finally:
            self._depth -= 1

    def chance(self, probability: float) -> bool:
        """Whether something of this probability happens now."""
        return self.rng.random() < probability

    def note(self, who: str, what: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.now - START:9.4f}  {who:8s} {what}")

    def count(self, what: str, by: int = 1) -> None:
        """Count something, for the summary."""
        self.counters[what] = self.counters.get(what, 0) + by

    def _next(self) -> None:
        moment, _, action = heapq.heappop(self._queue)
        self.now = max(self.now, moment)
        self.events += 1
        if self.events > EVENTS_AT_MOST:
            raise RuleBroken("liveness", f"{EVENTS_AT_MOST} events and no end: something turns in circles")
        action()
