"""Waiting for a state: until a deadline, and with what was seen last if it never comes.

Of the standard library alone: the demo needs it where nothing is installed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

Seen = TypeVar("Seen")
LONG = 60.0  # seconds; a machine may be slow, a state that never comes may not hold the tests up for ever
PAUSE = 0.03  # seconds between two looks


class Clock(Protocol):
    """Time as it passes for the nodes, in seconds."""

    def now(self) -> float:
        """Return the time since some moment."""
        ...

    def rest(self, seconds: float) -> None:
        """Let time pass."""
        ...


class RealTime:
    """The time of this machine."""

    def now(self) -> float:
        return time.monotonic()

    def rest(self, seconds: float) -> None:
        time.sleep(seconds)


REAL = RealTime()


def looks(seconds: float, pause: float = PAUSE, clock: Clock = REAL) -> Iterator[None]:
    """Yield once for each look at something, with pauses between; the last one is after the deadline."""
    deadline = clock.now() + seconds
    late = False
    while not late:
        late = clock.now() > deadline
        yield
        if not late:
            clock.rest(pause)


def wait_for(
    look: Callable[[], Seen],
    wanted: Callable[[Seen], object],
    what: str,
    seconds: float = LONG,
    pause: float = PAUSE,
    clock: Clock = REAL,
) -> Seen:
    """Return what ``look`` gives once it is ``wanted``; fails with what was seen last."""
    for _ in looks(seconds, pause, clock):
        seen = look()
        if wanted(seen):
            return seen
    raise AssertionError(f"not within {seconds:g} s: {what}; seen last: {seen!r}")
