"""A flush of the source's own store has failed: what that means for its copy, and what must be recorded first (R15).

What was written since the last flush may be lost here (fsync(2)). The targets may have it, so their copies may differ,
and be the better ones: every block that may be affected is marked (R2), and nothing is copied, even after a restart,
until an administrator clears the verdict or promotes a target.
"""

from __future__ import annotations

import msgspec

from dkrepl.core.intent.activity_log import ActivityLog
from dkrepl.core.source.record import SourceRecord
from dkrepl.core.source.targets import Targets


class StoreVerdict:
    """The verdict is the field ``store_failed`` of the metadata."""

    def __init__(self, record: SourceRecord, targets: Targets, activity_log: ActivityLog) -> None:
        self._record = record
        self._targets = targets
        self._activity_log = activity_log

    def flush_failed(self, why: str, now: float) -> None:
        """A flush of the store has failed."""
        extents, record = self._activity_log.unsynced, self._record
        for view in self._targets.views.values():
            view.bitmap.mark_extents(extents)
            view.bitmap.seal(extents.difference(self._activity_log.active))
        record.metadata = msgspec.structs.replace(record.metadata, store_failed=why[:500])
        record.commit("store verdict", sync_bitmaps=True)
        for view in self._targets.views.values():
            if view.in_stream or view.state == "Connecting":  # also one that is still entering
                self._targets.evict(view, "SourceStoreError", "the source's store failed a flush", now)

    @property
    def pending(self) -> bool:
        """Whether the verdict is being recorded; requests that failed are not answered before that."""
        return self._record.waits_for("store verdict")

    @property
    def unrecorded(self) -> bool:
        """Whether there is a verdict that is not on stable storage yet: only a commit of the record brings it there."""
        return bool(self._record.metadata.store_failed) and not self._record.names_failed_store

    def record_again(self) -> None:
        """Record a verdict that could not be recorded when it was reached, if that is possible now."""
        if self.unrecorded and not self.pending:
            self._record.commit("store verdict", sync_bitmaps=True)

    def clear(self) -> int:
        """The administrator says that the store is sound: what it holds now is copied. Returns the commit."""
        return self._record.set(msgspec.structs.replace(self._record.metadata, store_failed=""))
