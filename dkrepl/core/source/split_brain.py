"""Another source of the same mirror: what each of the two has written without the other (rule R7).

both wrote without the other     split-brain: both stay as they are, until an administrator resolves it
only the other did               it was promoted while this node was away, or out of reach: demote this one
only this one did                the other is the one to be demoted
neither                          either may be
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from dkrepl.core.lineage.generation import spared
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.lineage.peer_records import record_of
from dkrepl.core.protocol.messages import Answer
from dkrepl.core.source.target_view import TargetView

Kind = Literal["SplitBrain", "OtherNewer", "ThisNewer", "TwoSources"]


@dataclass(frozen=True, kw_only=True)
class OtherSource:
    """Another source, and the evidence.

    ``since``: Unix time at which the later of the two lineages began, 0 if not known.
    ``here_bytes`` and ``there_bytes``: written by each and not known to be at the other, at the most.
    """

    node: str
    kind: Kind
    since: float
    here_bytes: int
    there_bytes: int
    elected: Literal["here", "there", ""] = ""  # which of the two was elected later; "": nothing tells

    @property
    def text(self) -> str:
        """What it is, and what to do."""
        if self.kind == "SplitBrain":
            return (
                f"split-brain: {self.node} is source too, and each has written without the other ({self.here_bytes} "
                f"bytes here, {self.there_bytes} there); decide which copy to keep, and run dkrepl resolve --keep NODE "
                "on the other node"
            )
        # Targets do not go back to a source that was elected earlier unless they are told to (R11).
        if self.kind == "OtherNewer":
            then = f", then run dkrepl resolve --keep {self.node} on it and on each target that is Refused (Elected)"
            told = then if self.elected == "here" else ""
            return f"{self.node} is source too, and has everything that was written here; demote this node{told}"
        if self.kind == "ThisNewer":
            then = (
                ", then run dkrepl resolve --keep NODE there and on each target that is Refused (Elected), NODE being "
                "this node"
            )
            told = then if self.elected == "there" else ""
            return f"{self.node} is source too, and has written nothing that is not here; demote {self.node}{told}"
        which = {"here": self.node, "there": "this node, which was elected earlier", "": "one of them"}[self.elected]
        return f"{self.node} is source too, and neither has written without the other; demote {which}"


def judge(metadata: NodeMetadata, answer: Answer, here_bytes: int) -> OtherSource | None:
    """Return what ``answer`` tells of a second source, or None if it is not one, or of another mirror."""
    same = answer.mirror == metadata.mirror and answer.mirror_id == metadata.mirror_id
    if answer.role != "source" or not same:
        return None
    here = not spared(record_of(metadata, answer.node).base, metadata.generation)
    there = not spared(answer.base, answer.generation)
    if metadata.generation in answer.history:
        here = False
    if answer.generation in metadata.history:
        there = False
    kind: Kind = "SplitBrain" if here and there else "OtherNewer" if there else "ThisNewer" if here else "TwoSources"
    since = max(metadata.generation_at if here else 0.0, answer.since if there else 0.0)
    elected: Literal["here", "there", ""] = "here" if metadata.ballot > answer.ballot else ""
    elected = "there" if answer.ballot > metadata.ballot else elected
    return OtherSource(
        node=answer.node, kind=kind, since=since, here_bytes=here_bytes, there_bytes=answer.own_bytes, elected=elected
    )


def found(metadata: NodeMetadata, views: Mapping[str, TargetView], answers: Iterable[Answer]) -> dict[str, OtherSource]:
    """Return the other sources among those who answered, by name."""
    others = {}
    for answer in answers:
        if answer.role != "source":
            continue  # to count a bitmap takes long, and this is done every few rounds of the loop
        own = min(views[answer.node].bitmap.count() * metadata.block, metadata.size)
        other = judge(metadata, answer, own)
        if other is not None:
            others[other.node] = other
    return others
