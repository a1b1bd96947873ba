"""Blocks that only this node has: saved before another node's data replaces them, and compared with it afterwards."""

from __future__ import annotations

from collections.abc import Callable

from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.daemon.outside import Events, Outside, Workers
from dkrepl.errors import DkreplError, MetadataError
from dkrepl.io.store.diverged import Saved


class DivergedBlocks:
    """``found``: what lies in the state directory. It works in a thread: there may be as many runs as blocks (R13)."""

    def __init__(self, outside: Outside, workers: Workers, events: Events) -> None:
        self._outside = outside
        self._workers = workers
        self._events = events
        self.found = self._look()
        self._unsettled = any(not one.settled for one in self.found)

    def _look(self) -> list[Saved]:
        """What lies there from before; that one of these files cannot be read is no reason not to run."""
        try:
            return self._outside.state.diverged()
        except MetadataError as error:
            self._events.report("diverged_not_settled", "warning", {"reason": str(error)})
            return []

    def save(self, metadata: NodeMetadata, bitmap: IntentBitmap, peer: str, then: Callable[[str | None], None]) -> None:
        """Copy the blocks that ``bitmap`` names to a file; ``then(error)`` in the loop, None if it went well."""
        block = metadata.block
        bitmap.count()  # up to date, and nothing marks or clears while blocks are saved: so a thread may read it

        def save() -> Saved:
            runs = ((first * block, (end - first) * block) for first, end in bitmap.runs())
            return self._outside.state.save_diverged(self._outside.store, metadata, peer, runs)

        def done(saved: Saved | None, error: DkreplError | None) -> None:
            if saved is not None:
                self._unsettled = True
                self.found = [*self.found, saved]
                fields: dict[str, object] = {"name": saved.name, "bytes": saved.length, "replaced_by": peer}
                self._events.report("diverged_saved", "warning", fields)
            elif error is not None:
                self._events.report("diverged_not_saved", "error", {"replaced_by": peer, "reason": str(error)})
            then(None if error is None else str(error))

        self._workers.run("read", save, done)

    def settle(self) -> None:
        """In sync again: of what was saved, only what has really been replaced by something else stays."""
        if not self._unsettled:
            return
        self._unsettled = False

        def done(found: list[Saved] | None, error: DkreplError | None) -> None:
            if error is not None:
                self._events.report("diverged_not_settled", "warning", {"reason": str(error)})
            elif found is not None:
                self.found = found
                names, size = [one.name for one in found], sum(one.length for one in found)
                fields: dict[str, object] = {"names": names, "bytes": size}
                self._events.report("diverged_settled", "warning" if found else "info", fields)

        self._workers.run("read", lambda: self._outside.state.settle_diverged(self._outside.store), done)
