"""What a node says to the source in order to be let into the stream."""

from __future__ import annotations

from dkrepl.config.terms import Terms
from dkrepl.core.lineage import peer_records
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol.messages import PROTOCOL_MAX, PROTOCOL_MIN, Hello


def hello_of(
    metadata: NodeMetadata, peer: str, marks: int, software: str, terms: Terms | None = None, advisory: str = ""
) -> Hello:
    """Return what a node says to ``peer`` to join; ``marks``: blocks that its bitmap for that peer names.

    ``terms``, ``advisory``: of its description (config/terms.py).
    """
    record = peer_records.record_of(metadata, peer)
    return Hello(
        PROTOCOL_MIN,
        PROTOCOL_MAX,
        metadata.mirror,
        metadata.mirror_id,
        metadata.node,
        metadata.size,
        metadata.block,
        metadata.generation,
        list(metadata.history),
        metadata.store_state,
        metadata.epoch,
        software,
        metadata.follows,
        list(record.base),
        record.tracked,
        marks,
        record.epoch,
        metadata.yields if metadata.yields_to == peer else "",
        terms or {},
        advisory,
    )
