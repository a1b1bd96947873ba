"""How far back in time a target is: from samples of the stream's newest seq, a few a second."""

from __future__ import annotations

from collections import deque

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.source.target_view import TargetView
from dkrepl.core.source.write_log import WriteLog


class LagClock:
    """Knows when each write was the newest, for about the last two minutes.

    A target further back is shown as at least that far.
    """

    def __init__(self, *, limits: Limits = DEFAULT) -> None:
        self._step = limits.lag_sample_seconds
        self._samples: deque[tuple[float, int]] = deque(maxlen=limits.lag_samples)  # (time, newest seq then)

    def sample(self, seq: int, now: float) -> None:
        """Note that ``seq`` was the newest at ``now``; to be called a few times a second."""
        samples = self._samples
        if not samples or (seq != samples[-1][1] and now - samples[-1][0] >= self._step):
            samples.append((now, seq))

    def behind(self, applied: int, seq: int, now: float) -> float:
        """Seconds since the source had nothing that a target at ``applied`` lacks; 0.0 if it lacks nothing."""
        if applied >= seq:
            return 0.0
        since = now
        for moment, newest in reversed(self._samples):
            if newest <= applied:
                break
            since = moment
        return now - since


def lag_of(view: TargetView, log: WriteLog, clock: LagClock, dirty_bytes: int, now: float) -> tuple[float | None, int]:
    """Return (seconds since the target last had everything, None if not since this start; bytes that it lacks).

    In sync these are the bytes of its window, else ``dirty_bytes``, those of the blocks that its bitmap names.
    """
    if view.state == "InSync":
        return clock.behind(view.applied, log.seq, now), log.bytes_between(view.applied, log.seq)
    if not dirty_bytes:
        return 0.0, 0
    return (now - view.dropped_at if view.dropped_at is not None else None), dirty_bytes
