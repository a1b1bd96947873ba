"""What to do when a target meets the source: a pure function of what both remember.

Rule R7: data is only ever overwritten by its descendants. A *generation* names a lineage of data; the source
mints a new one at its first write after a target fell out of the stream. A target may be overwritten only if the
source's own past contains the target's generation.

    target of another mirror                          -> Refuse  (OtherMirror)
    size or block differs                             -> Refuse  (SizeDiffers, BlockDiffers)
    target new, both copies empty, nothing written    -> Nothing
    target new                                        -> Full
    target's past contains the source's generation    -> Refuse  (TargetNewer)
    neither knows the other's generation              -> Refuse  (SplitBrain)
    the source has kept no bitmap for it, it has followed another source since, or its
    joining is none of those since it was last in the stream (a restored backup)         -> Full
    bitmap names no block and the copy is consistent  -> Nothing
    otherwise                                         -> Partial
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dkrepl.core.messages import Hello
from dkrepl.core.metadata import NodeMetadata

Action = Literal["Nothing", "Partial", "Full", "Refuse"]


@dataclass(frozen=True)
class Decision:
    """The outcome of a meeting; ``code`` and ``text`` say why."""

    action: Action
    code: str
    text: str


def decide(source: NodeMetadata, hello: Hello, dirty: bool) -> Decision:
    """Return what is to be copied to the target that said ``hello``.

    ``dirty``: whether the source's intent bitmap for it names any block.
    """
    who = hello.node
    if hello.mirror != source.mirror or (hello.mirror_id and hello.mirror_id != source.mirror_id):
        return Decision(
            "Refuse",
            "OtherMirror",
            f"{who} holds another mirror's copy ({hello.mirror} {hello.mirror_id}); check its store and description",
        )
    if hello.size != source.size:
        return Decision(
            "Refuse",
            "SizeDiffers",
            f"the copy on {who} is {hello.size} bytes, the source's {source.size}; make their descriptions equal",
        )
    if hello.block != source.block:
        return Decision(
            "Refuse",
            "BlockDiffers",
            f"{who} uses blocks of {hello.block} bytes, the source {source.block}; make their descriptions equal",
        )
    if not hello.mirror_id:
        if not source.generation and hello.store_state == "Empty" and source.store_state == "Empty":
            return Decision("Nothing", "NewAndEmpty", "both copies are new and empty")
        return Decision("Full", "NewTarget", f"{who} joins for the first time")
    record = source.peers.get(who)
    known = {source.generation, *source.history, *(record.generations if record else ()), ""}
    if hello.generation not in known:
        if source.generation in hello.history or (not source.generation and hello.generation):
            return Decision(
                "Refuse",
                "TargetNewer",
                f"the copy on {who} (generation {hello.generation}) descends from this source's; promote {who} instead",
            )
        return Decision(
            "Refuse",
            "SplitBrain",
            f"{who} (generation {hello.generation}) and this source ({source.generation}) each hold writes that the "
            "other lacks; decide which copy to keep",
        )
    if record is None or not record.offered:
        return Decision("Full", "NotTracked", f"no bitmap has been kept for {who} since it was last in sync")
    if hello.follows != source.node:
        return Decision("Full", "OtherSource", f"{who} has followed {hello.follows} since, and no bitmap says how far")
    if not record.join <= hello.join <= record.offered:
        return Decision(
            "Full",
            "OldMetadata",
            f"the metadata of {who} is from another time (joining {hello.join}, not {record.join} to {record.offered})",
        )
    if dirty or hello.store_state == "Inconsistent":
        return Decision("Partial", "Dirty", "the intent bitmap names what to copy")
    return Decision("Nothing", "Clean", "the copies are equal")
