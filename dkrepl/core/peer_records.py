"""What a source remembers of its targets from joining to joining, as changes of its metadata (rule R7).

A target that comes back shows a generation; the source must know whether it gave it to that target. So every
generation that a target may have recorded is kept until the target has confirmed a newer one.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from dkrepl.core.metadata import NodeMetadata, PeerRecord

_GENERATIONS = 100  # that one target may have recorded and not yet confirmed


def record_of(metadata: NodeMetadata, name: str) -> PeerRecord:
    """Return what is remembered of the target ``name``: an empty record if nothing is."""
    return metadata.peers.get(name, PeerRecord())


def remembered(
    metadata: NodeMetadata,
    name: str,
    join: int | None = None,
    offered: int | None = None,
    generations: tuple[str, ...] | None = None,
    paused: bool | None = None,
) -> NodeMetadata:
    """Return the metadata with those facts about the target ``name`` that are given."""
    record = record_of(metadata, name)
    record = PeerRecord(
        record.join if join is None else join,
        record.offered if offered is None else offered,
        record.generations if generations is None else generations,
        record.paused if paused is None else paused,
    )
    return msgspec.structs.replace(metadata, peers=metadata.peers | {name: record})


def may_know(metadata: NodeMetadata, name: str, generation: str) -> NodeMetadata:
    """Return the metadata after which ``name`` may record ``generation``, and be the only one that remembers it."""
    first, *others = dict.fromkeys((*record_of(metadata, name).generations, generation))
    return remembered(metadata, name, generations=(first, *others[-_GENERATIONS:]))


def all_may_know(metadata: NodeMetadata) -> NodeMetadata:
    """Return the metadata as after a start: any target may have been told of the generation just before."""
    peers = {
        name: msgspec.structs.replace(
            record, generations=tuple(dict.fromkeys((*record.generations, metadata.generation)))
        )
        for name, record in metadata.peers.items()
    }
    return msgspec.structs.replace(metadata, peers=peers)


def minted(metadata: NodeMetadata, generation: str, members: Collection[str]) -> NodeMetadata:
    """Return the metadata with a new generation, of which ``members``, the targets in the stream, will be told."""
    peers = {
        name: msgspec.structs.replace(record, generations=(*record.generations, generation))
        if name in members
        else record
        for name, record in metadata.peers.items()
    }
    return msgspec.structs.replace(metadata.minted(generation), peers=peers, store_state="Consistent")
