"""Whether a peer that answered a former source stands in its way, or is to be followed, by the data of both (R7, R11).

``metadata`` is the record of the former source, and ``answer`` what the peer says, everywhere here.
"""

from __future__ import annotations

from typing import Literal

from dkrepl.core.lineage.generation import spared
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.lineage.peer_records import record_of
from dkrepl.core.protocol.messages import Answer

Contention = Literal["asks", "diverged", "source", "newer source", "diverged source"]
"""Why a former source does not serve by itself beside a peer, nor follow it.

"asks": the peer was source too; "diverged": a target that may hold acknowledged writes which this node lacks, and the
other way round; the rest: a source that was elected before this node, and holds nothing more, or all that this node has
and perhaps more, or has diverged.
"""


def contention(metadata: NodeMetadata, answer: Answer) -> Contention | None:
    """Return why this node does not serve by itself beside a peer, nor follow it; None if it may."""
    if answer.role == "source":
        return _older_source(metadata, answer) if answer.ballot < metadata.ballot else None
    if descends(metadata, answer):
        return None
    if answer.role == "arbitrating":
        before = answer.ballot < metadata.ballot and not _apart(metadata, answer)  # that was elected before this node
        # Older data, but elected after this node: the administrator accepted the loss, and may have meant it.
        return None if before or (older(metadata, answer) and answer.ballot <= metadata.ballot) else "asks"
    return "diverged" if _apart(metadata, answer) and answer.yields_to != metadata.node else None


def descends(metadata: NodeMetadata, answer: Answer) -> bool:
    """Whether a peer's data has a past that contains ours, and is not known here."""
    own, base = metadata.generation, answer.base
    # The base tells as well, for a history ends after so many generations.
    past = not own or own in answer.history or (own in base and not spared(base, answer.generation))
    return answer.generation not in _known(metadata, answer) and past


def older(metadata: NodeMetadata, answer: Answer) -> bool:
    """Whether what a peer holds is part of our past."""
    return answer.generation != metadata.generation and answer.generation in _known(metadata, answer)


def _older_source(metadata: NodeMetadata, answer: Answer) -> Contention:
    if descends(metadata, answer):
        return "newer source"
    if _apart(metadata, answer):
        return "diverged source"
    # By force it may have become source without the last writes, even of a generation that it knows.
    wrote_here = metadata.generation not in (answer.generation, *answer.history, *answer.base)
    return "newer source" if metadata.forced and not wrote_here else "source"


def _apart(metadata: NodeMetadata, answer: Answer) -> bool:
    """Whether a peer whose data does not descend from ours may hold acknowledged writes that this node lacks."""
    return answer.generation not in _known(metadata, answer) and not spared(answer.base, answer.generation)


def _known(metadata: NodeMetadata, answer: Answer) -> set[str]:
    generations = record_of(metadata, answer.node).generations
    return {metadata.generation, *metadata.history, *generations, ""}
