"""Since when the store of a peer stands still, as the peer says: a slow disk is told apart from a dead node (R13)."""

from __future__ import annotations


class Stall:
    """``limit``: seconds for which a store may stand still. Times are monotonic seconds."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._since: float | None = None

    def note(self, seconds: float, now: float) -> str | None:
        """The store has been stalled for ``seconds``; 0: it moves. Returns the event that this is, if it is one."""
        before, self._since = self._since, now - seconds if seconds > 0 else None
        if (before is None) == (self._since is None):
            return None
        return "store_moves_again" if self._since is None else "store_stalled"

    def forget(self) -> None:
        """Nothing is known of that store any more."""
        self._since = None

    def seconds(self, now: float) -> float | None:
        """Return for how long the store has stood still; None: it moves, as far as is known."""
        return None if self._since is None else max(0.0, now - self._since)

    def excused(self, now: float) -> bool:
        """Whether the store stands still, and has not done so for too long."""
        return self._since is not None and now - self._since <= self._limit

    def too_long(self, now: float) -> bool:
        """Whether the store has been stalled for longer than the limit."""
        return self._since is not None and now - self._since > self._limit
