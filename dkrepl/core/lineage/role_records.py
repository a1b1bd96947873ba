"""A node's record after a change of its role; the bitmaps stay, so only what they name need be copied (R8)."""

from __future__ import annotations

from typing import Literal

import msgspec

from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol.ballot import Ballot


def as_source(
    metadata: NodeMetadata, mirror_id: str, ballot: Ballot, forced: tuple[str, ...] = (), at: float = 0.0
) -> NodeMetadata:
    """Return the record of a target that is source from now on.

    ``ballot``: under which it was elected; after a switchover, that of the former source. ``mirror_id`` is used if it
    has none, as it never had a source. Its first write begins a new generation, not the promotion alone. ``forced``:
    codes of the reasons against it that an administrator overruled, at Unix time ``at``; they stay known (R15).
    """
    # Blocks saved aside earlier do not include what it writes from now on. And it is not known what the former source
    # has on stable storage, nor whether another target was in the middle of a resync (R4).
    peers = {
        name: msgspec.structs.replace(record, saved=False, unproven=True) for name, record in metadata.peers.items()
    }
    return msgspec.structs.replace(
        metadata,
        role="source",
        ballot=ballot,
        promised=(),
        stood=max(metadata.stood, ballot.number if ballot.node == metadata.node else 0),
        store_state="Consistent",
        mirror_id=metadata.mirror_id or mirror_id,
        forced=forced,
        forced_at=at if forced else 0.0,
        power_lost=False,
        unsettled=False,
        follows="",  # the source that it followed knows nothing of what it writes from now on
        next_source="",
        next_source_epoch=0,
        yields="",
        yields_to="",
        peers=peers,
    )


def is_blank(metadata: NodeMetadata) -> bool:
    """Whether a source holds nothing: it was initialised with an empty store, and has never written."""
    return not metadata.generation and metadata.store_state == "Empty"


def as_follower(metadata: NodeMetadata) -> NodeMetadata:
    """Return the record of a source that has found another one; if it holds nothing it takes up that one's mirror."""
    return msgspec.structs.replace(as_target(metadata), mirror_id="" if is_blank(metadata) else metadata.mirror_id)


def as_target(
    metadata: NodeMetadata,
    next_source: str = "",
    next_source_epoch: int = 0,
    yields: Literal["", "keep", "discard"] = "",
    yields_to: str = "",
) -> NodeMetadata:
    """Return the record of a source that becomes a target.

    ``next_source`` is to be source in its place, if ``next_source_epoch`` was its last epoch. ``yields``: what this
    node alone has may be replaced by what the node ``yields_to`` has, and is saved before, or not.
    """
    # R15: after a failed flush its bitmaps name what may be lost; until that is copied back the copy is Inconsistent.
    state = "Inconsistent" if metadata.store_failed else metadata.store_state
    return msgspec.structs.replace(
        metadata,
        role="target",
        store_state=state,
        next_source=next_source,
        next_source_epoch=next_source_epoch,
        yields=yields,
        yields_to=yields_to,
    )
