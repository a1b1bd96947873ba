"""When a source begins a new generation of its data, and which targets are part of its beginning (rule R7).

One is needed before the first answer after a start, and after a target left: from then on the data has a past which
that target does not know. Until it is durable no answer is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.lineage import peer_records
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.source.target_view import TargetView


class NewGeneration:
    """``needed``: no answer may be given before a new generation. ``commit``: the number of its commit, 0 if none."""

    def __init__(self, *, limits: Limits = DEFAULT) -> None:
        self._keep = limits.generations
        self.needed = True
        self.commit = 0
        self._kept: dict[
            str, bool
        ] = {}  # targets in sync when the generation on its way was begun; whether synchronous

    def begin(self, metadata: NodeMetadata, generation: str, members: Sequence[TargetView], at: float) -> NodeMetadata:
        """Return the metadata with the new generation, which counts once they are durable; ``at``: Unix time."""
        self._kept = {view.name: view.mode == "sync" for view in members if view.state == "InSync"}
        told = [view.name for view in members]
        return peer_records.with_new_generation(
            metadata, generation, told=told, kept=self._kept, at=at, keep=self._keep
        )

    def durable(self, views: Mapping[str, TargetView]) -> dict[str, bool]:
        """The generation is durable: return the targets that were in sync when it was begun, and are still.

        By name, whether the target is synchronous.

        If one has left meanwhile it must not count as kept, so the next answer needs yet another generation.
        """
        self.commit = 0
        kept = {name: sync for name, sync in self._kept.items() if views[name].state == "InSync"}
        self.needed = len(kept) < len(self._kept)
        return kept
