"""Writes wait for room in the activity log: the targets are asked to flush what keeps extents active (rule R5).

One that may not delay the application, and does not confirm within ``backpressure_seconds``, has to leave the stream.
"""

from __future__ import annotations

from collections.abc import Sequence

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.source.member import Member


class BackPressure:
    """At most one flush at a time is on its way."""

    def __init__(self, *, limits: Limits = DEFAULT) -> None:
        self._patience = limits.backpressure_seconds
        self._asked: tuple[int, float] | None = None  # seq and time of the flush that is to make room

    def enough(self) -> None:
        """No write waits for room."""
        self._asked = None

    def asked(self, seq: int, now: float) -> None:
        """The targets were asked to flush everything up to ``seq``."""
        self._asked = (seq, now)

    def delayers(self, members: Sequence[Member], now: float) -> list[Member]:
        """Return who has had its time and may not delay the application."""
        if self._asked is None or now - self._asked[1] <= self._patience:
            return []
        return [member for member in self._slow(members) if not member.settings.may_delay]

    def must_ask(self, members: Sequence[Member]) -> bool:
        """Whether the targets are to be asked to flush: nobody has a flush before it any more."""
        if self._asked is not None and self._slow(members):
            return False
        waited, self._asked = self._asked is not None, None
        return bool(members) and not waited

    def _slow(self, members: Sequence[Member]) -> list[Member]:
        return [member for member in members if self._asked is not None and member.durable < self._asked[0]]
