"""What to do when a target meets the source: a pure function of what both remember.

Rule R7: data is only ever overwritten by its descendants. A *generation* names a lineage of data; a source begins a
new one before its first answer after a start, and after a target left. The *base* that a node keeps for a peer is the
set of generations under which nothing was acknowledged here without that peer.

First, the lineage. The target's data may be overwritten if

    past      the source's own past contains the target's generation, or
    spared    the target's generation is in its base for the source, which shares one of them: all that the target
              ever acknowledged under it, the source has as well (it was lost before it was told of the generation), or
    yielding  an administrator said at the target that it gives way to this source (``dkrepl resolve``)

else nothing is copied, and both stay as they are:

    other mirror, size or block                      -> Refuse  (OtherMirror, SizeDiffers, BlockDiffers)
    the source wrote nothing without the target      -> Refuse  (TargetNewer: copy from there, promote the target)
    both wrote without the other                     -> Refuse  (SplitBrain)
    no generation in common                          -> Refuse  (Unrelated)

Then, how much. Two nodes differ at most in what the bitmap of each names of the other (rule R8), if both are complete:

    target new, both copies empty, nothing written   -> Nothing (NewAndEmpty)
    target new                                       -> Full    (NewTarget)
    either has no complete bitmap for the other      -> Full    (NotTracked)
    either has older metadata than the other knows   -> Full    (OldMetadata: restored from a backup)
    neither bitmap names a block, copy consistent    -> Nothing (Clean)
    otherwise                                        -> Partial (Dirty)

If a yielding target has no bitmap of its own blocks they cannot be saved: Refuse (NotKept), unless it was told to
discard them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dkrepl.core.lineage.metadata import NodeMetadata, PeerRecord
from dkrepl.core.protocol.messages import Hello

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
        text = f"{who} holds another mirror's copy ({hello.mirror} {hello.mirror_id}); check its store and description"
        return Decision("Refuse", "OtherMirror", text)
    if hello.size != source.size:
        text = f"the copy on {who} is {hello.size} bytes, the source's {source.size}; make their descriptions equal"
        return Decision("Refuse", "SizeDiffers", text)
    if hello.block != source.block:
        text = f"{who} uses blocks of {hello.block} bytes, the source {source.block}; make their descriptions equal"
        return Decision("Refuse", "BlockDiffers", text)
    if not hello.mirror_id:
        if not source.generation and hello.store_state == "Empty" and source.store_state == "Empty":
            return Decision("Nothing", "NewAndEmpty", "both copies are new and empty")
        return Decision("Full", "NewTarget", f"{who} joins for the first time")
    record = source.peers.get(who, PeerRecord())
    return _lineage(source, record, hello) or _amount(source, record, hello, dirty)


def spared(base: tuple[str, ...] | list[str], generation: str) -> bool:
    """Whether everything that was acknowledged under ``generation`` is at the peer that ``base`` is kept for."""
    return not generation or generation in base


def _lineage(source: NodeMetadata, record: PeerRecord, hello: Hello) -> Decision | None:
    """Return the refusal, or None if the target's data may be overwritten (R7)."""
    known = {source.generation, *source.history, *record.generations, ""}
    if hello.generation in known or hello.yields:
        return None
    if spared(hello.base, hello.generation) and known.intersection(hello.base):
        return None
    who = hello.node
    past = {hello.generation, *hello.history}
    if source.generation in past or spared(record.base, source.generation):
        text = f"the copy on {who} (generation {hello.generation}) descends from this source's; promote {who} instead"
        return Decision("Refuse", "TargetNewer", text)
    if not past.intersection((*source.history, *record.generations)):
        text = (
            f"the copy on {who} (generation {hello.generation}) and this source's ({source.generation}) have no past "
            f"in common; initialise {who} again if its copy is to be replaced"
        )
        return Decision("Refuse", "Unrelated", text)
    text = (
        f"split-brain: {who} (generation {hello.generation}) and {source.node} ({source.generation}) each hold writes "
        f"that the other lacks; decide which copy to keep: dkrepl resolve --keep {source.node} on {who}, or the other "
        "way round"
    )
    return Decision("Refuse", "SplitBrain", text)


def _amount(source: NodeMetadata, record: PeerRecord, hello: Hello, dirty: bool) -> Decision:
    who, follows = hello.node, hello.follows == source.node
    if not record.tracked:
        full = Decision(
            "Full", "NotTracked", f"{source.node} has no complete bitmap for {who} since it was last in sync"
        )
    elif not (hello.tracked or (follows and record.merged)):
        full = Decision("Full", "NotTracked", f"{who} has no complete bitmap of what it wrote without {source.node}")
    elif hello.epoch < record.epoch or (follows and hello.epoch > record.offered):
        text = f"the metadata of {who} is from another time (epoch {hello.epoch}, not {record.epoch} or later)"
        full = Decision("Full", "OldMetadata", text)
    elif hello.peer_epoch > source.epoch:
        text = f"{who} knows of epoch {hello.peer_epoch} of {source.node}, which itself remembers only {source.epoch}"
        full = Decision("Full", "OldMetadata", text)
    elif dirty or hello.dirty_blocks or hello.store_state == "Inconsistent":
        return Decision("Partial", "Dirty", "the intent bitmaps name what to copy")
    else:
        return Decision("Nothing", "Clean", "the copies are equal")
    if hello.yields == "keep":
        text = (
            f"it is not known which blocks only {who} has ({full.text}), so they cannot be saved; to replace its "
            f"whole copy: dkrepl resolve --keep {source.node} --discard on {who}"
        )
        return Decision("Refuse", "NotKept", text)
    return full
