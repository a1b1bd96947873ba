"""What a node answers when a peer asks who it is, what it holds, and what its description says."""

from __future__ import annotations

from typing import Literal

import msgspec

from dkrepl.config.description import Description
from dkrepl.config.terms import advisory, required
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.lineage.peer_records import record_of
from dkrepl.core.protocol.messages import Answer, Ask, Copy, Described


class RoleReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a role says of its node; the rest of an answer follows from the record and the description.

    ``copy``: None of a source. ``vote``: the node that it votes for. ``own_bytes``: written here, and perhaps not at
    the node that asks.
    """

    role: Literal["source", "target", "arbitrating"]
    metadata: NodeMetadata
    copy: Copy | None = None
    vote: str = ""
    own_bytes: int = 0


def answer_to(ask: Ask, description: Description, report: RoleReport) -> Answer:
    """Return the answer to a peer's question; ``description`` is the one that this node uses."""
    return msgspec.structs.replace(_identity(description, report, ask.node), number=ask.number)


def own_identity(description: Description, report: RoleReport) -> Answer:
    """Return what a node says of itself to itself: by it, and by the answers of the others, a promotion is judged."""
    return _identity(description, report, report.metadata.node)


def described(description: Description, node: str) -> Described:
    """Return the answer to ``Describe``."""
    return Described(node, description.name, required(description), advisory(description))


def _identity(description: Description, report: RoleReport, asker: str) -> Answer:
    metadata = report.metadata
    return Answer(
        node=metadata.node,
        mirror=metadata.mirror,
        mirror_id=metadata.mirror_id,
        role=report.role,
        generation=metadata.generation,
        history=list(metadata.history),
        base=list(record_of(metadata, asker).base),
        since=metadata.generation_at,
        own_bytes=report.own_bytes,
        copy=report.copy,
        terms=required(description),
        agreed=metadata.agreed,
        store_failed=metadata.store_failed,
        split_brain=sorted(name for name, record in metadata.peers.items() if record.split_brain),
        former=list(metadata.former),
        next_source=metadata.next_source,
        vote=report.vote,
        ballot=metadata.ballot,
        promised=list(metadata.promised),
        stood=metadata.stood,
        yields_to=metadata.yields_to,
    )
