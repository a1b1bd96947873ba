"""Sync targets that a source waits for after a restart, before any write completes without them.

They had every write when the previous daemon ended. If writes completed before they are back, a loss of power here
would destroy those writes, while a target could still believe that it has everything. So no write completes for up to
``returning_seconds``. A target that is not in sync by then counts as lost, and what completes next needs a new
generation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.lineage.peer_records import has_all, record_of
from dkrepl.core.source.target_view import TargetView


class Awaited:
    """The wait for them, begun at the start. ``names``: who is waited for; empty once the wait is over."""

    def __init__(self, metadata: NodeMetadata, views: Iterable[TargetView], *, limits: Limits = DEFAULT) -> None:
        self._patience = limits.returning_seconds
        self.names: list[str] = []
        self._until: float | None = None
        # A node that was just promoted was not source under this generation yet, and waits for nobody.
        if metadata.generation_at:
            self.names = [
                view.name
                for view in views
                if view.mode == "sync"
                and view.state != "Paused"
                and metadata.generation in record_of(metadata, view.name).base
                and has_all(record_of(metadata, view.name), metadata.generation)
            ]

    def over(self, views: Mapping[str, TargetView], now: float) -> bool:
        """Whether the wait ends with this call; from then on ``names`` is empty."""
        if not self.names:
            return False
        if self._until is None:
            self._until = now + self._patience
        back = all(views[name].state in ("InSync", "Paused", "Refused") for name in self.names)
        if back or now >= self._until:
            self.names = []
        return not self.names

    @property
    def warning(self) -> str | None:
        """What status says meanwhile."""
        if not self.names:
            return None
        names = ", ".join(self.names)
        return f"waiting up to {self._patience:g} s for {names} to be in sync again, before writes are acknowledged"
