"""What a target knows of its source's newest write: from the heartbeats that it heard and from what it applied.

A heartbeat names the newest write at that time, by the source's clock. So when the source is gone the target can say as
of when its copy was complete, and what it knows to be missing. What the source answered after its last heartbeat cannot
be known here, so every figure means "at least".
"""

from __future__ import annotations

from collections import deque
from typing import Any

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.protocol.messages import Alive


class LastHeard:
    """Keeps what the heartbeats of the source said, until the writes that they name have arrived.

    ``at`` and ``as_of`` are Unix seconds by the source's clock, 0.0 if never; bytes are those of writes' data.
    """

    __slots__ = (
        "_most",
        "_waited",
        "applied_bytes",
        "as_of",
        "at",
        "head",
        "head_bytes",
        "in_sync",
        "missing_bytes",
        "session",
    )

    def __init__(self, *, limits: Limits = DEFAULT) -> None:
        self._most = limits.heartbeats_waiting  # beyond it the newest ones are not noted
        self.session = 0  # of the stream that it was in last
        self.applied_bytes = 0  # written in that session up to what is applied here
        self.head = 0  # the newest write of that session that was heard of
        self.head_bytes = 0  # written in that session up to it
        self.at = 0.0  # the last heartbeat
        self.as_of = 0.0  # the copy holds all that the source had then
        self.missing_bytes: int | None = None  # what the source said that a copy out of the stream lacks
        self.in_sync = False  # whether it was InSync at that heartbeat
        self._waited: deque[tuple[float, int]] = deque()  # (at, newest write then) of writes that have not arrived

    def began(self, session: int, position: int, written: int) -> None:
        """It enters a stream, at ``position``, up to which ``written`` bytes were written in the session."""
        self.session = session
        self.head, self.head_bytes = position, written
        self.applied_bytes = written
        self.missing_bytes = None
        self._waited.clear()

    def resync_began(self) -> None:
        """The first block of a resync may be applied: the copy is none of any time until the resync has ended."""
        self.as_of = 0.0

    def heard(self, alive: Alive, applied: int, in_sync: bool, consistent: bool) -> None:
        """A heartbeat of the source came while writes up to ``applied`` were applied here."""
        self.at = max(self.at, alive.at)
        self.in_sync = in_sync
        if alive.session == self.session and alive.seq >= self.head:
            self.head, self.head_bytes = alive.seq, alive.written
        if in_sync:
            if len(self._waited) < self._most:
                self._waited.append((alive.at, alive.seq))
            self.advance(applied)
            self.missing_bytes = None
            return
        self._waited.clear()
        self.missing_bytes = alive.lag_bytes
        if consistent and alive.lag_seconds is not None and alive.state in ("Behind", "Paused", "Refused"):
            self.as_of = alive.at - alive.lag_seconds

    def advance(self, applied: int) -> None:
        """Writes up to ``applied`` are applied now: the copy may be complete as of a later time."""
        while self._waited and self._waited[0][1] <= applied:
            self.as_of = self._waited.popleft()[0]

    def shown(self, applied: int) -> dict[str, Any] | None:
        """Return what status shows; None if no source was ever heard."""
        self.advance(applied)
        if not self.at:
            return None
        in_stream = self.missing_bytes is None
        return {
            "at": self.at,
            "seq": self.head,
            "in_sync": self.in_sync,
            "in_sync_as_of": self.as_of or None,
            "missing_bytes": max(self.head_bytes - self.applied_bytes, 0) if in_stream else self.missing_bytes,
        }
