"""What a source says and records while it lets a target into the stream."""

from __future__ import annotations

from dkrepl.config.terms import Terms
from dkrepl.core.lineage import peer_records
from dkrepl.core.lineage.generation import Decision
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol.messages import PROTOCOL_MAX, PROTOCOL_MIN, Hello, Welcome
from dkrepl.core.source.target_view import TargetView


def protocol_refusal(hello: Hello, peer: str) -> tuple[str, str] | None:
    """Return (code, sentence) if ``peer`` speaks no version of the protocol that this software does."""
    if hello.protocol_min <= PROTOCOL_MAX and hello.protocol_max >= PROTOCOL_MIN:
        return None
    return (
        "TooNew" if hello.protocol_min > PROTOCOL_MAX else "TooOld",
        f"{peer} speaks protocol {hello.protocol_min} to {hello.protocol_max}, the source "
        f"{PROTOCOL_MIN} to {PROTOCOL_MAX}; upgrade the older of the two",
    )


def offered(metadata: NodeMetadata, hello: Hello, epoch: int, decision: Decision) -> NodeMetadata:
    """Return the source's metadata after the epoch ``epoch`` is offered; durable before the Welcome (R7)."""
    name = hello.node
    record = peer_records.record_of(metadata, name)
    if hello.mirror_id and hello.epoch >= record.epoch:  # else it is a late one, or new, and says nothing of before
        metadata = peer_records.remembered(metadata, name, generations=(hello.generation,))
    # What it wrote without us is merged before Ready, or all of it is copied anyway.
    known = hello.follows == metadata.node and record.merged and not hello.dirty_blocks
    merged = known or decision.action == "Full" or decision.code == "NewAndEmpty"
    metadata = peer_records.remembered(metadata, name, epoch=hello.epoch, offered=epoch, tracked=True, merged=merged)
    return peer_records.may_know(metadata, name, metadata.generation)


def welcome(metadata: NodeMetadata, view: TargetView, session: int, terms: Terms, advisory: str) -> Welcome:
    """Return the Welcome to the epoch that was offered to ``view``."""
    return Welcome(
        protocol=PROTOCOL_MAX,
        epoch=view.epoch,
        session=session,
        group=view.settings.group,
        slot=view.settings.slot,
        mirror_id=metadata.mirror_id,
        generation=metadata.generation,
        history=list(metadata.history),
        decision="Copy" if view.bitmap.any() else "Nothing",
        source=metadata.node,
        node_epoch=metadata.epoch,
        terms=terms,
        advisory=advisory,
        former=list(metadata.former),
        ballot=metadata.ballot,
    )
