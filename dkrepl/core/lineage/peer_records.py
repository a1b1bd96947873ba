"""What a node remembers of its peers, as changes of its metadata (rule R7).

A target that comes back shows a generation; the source must know whether it gave it to that target. So every
generation that a target may have recorded is kept until the target has confirmed a newer one.

The *base* of a peer is the set of generations under which nothing was acknowledged here without it. It begins with the
one under which the peer was in sync, and each one that is begun while the peer is in sync is added. After the peer has
left, none is added. Each entry also says whether the peer was synchronous *then*: an asynchronous one may lack the last
writes of the generation, whatever its mode has become since.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from dkrepl.core.lineage.metadata import NodeMetadata, PeerRecord

_GENERATIONS = 100  # that one target may have recorded and not yet confirmed
_BASE = 100  # generations of a base


def record_of(metadata: NodeMetadata, name: str) -> PeerRecord:
    """Return what is remembered of the peer ``name``: an empty record if nothing is."""
    return metadata.peers.get(name, PeerRecord())


def remembered(metadata: NodeMetadata, name: str, **facts: Any) -> NodeMetadata:
    """Return the metadata with those facts (fields of ``PeerRecord``) about the peer ``name``."""
    record = msgspec.structs.replace(record_of(metadata, name), **facts)
    return msgspec.structs.replace(metadata, peers=metadata.peers | {name: record})


def may_know(metadata: NodeMetadata, name: str, generation: str) -> NodeMetadata:
    """Return the metadata after which ``name`` may record ``generation``, and be the only one that remembers it."""
    first, *others = dict.fromkeys((*record_of(metadata, name).generations, generation))
    return remembered(metadata, name, generations=(first, *others[-_GENERATIONS:]))


def all_may_know(metadata: NodeMetadata) -> NodeMetadata:
    """Return the metadata as after a start: any target may have been told of the generation just before."""
    for name in metadata.peers:
        metadata = may_know(metadata, name, metadata.generation)
    return metadata


def with_new_generation(
    metadata: NodeMetadata,
    generation: str,
    *,
    told: Iterable[str],
    kept: Mapping[str, bool],
    at: float,
    keep: int,
) -> NodeMetadata:
    """Return a source's metadata with a new generation, begun at Unix time ``at``.

    ``told``: the targets in the stream, which will be told of it; ``kept``: those in sync, without which nothing has
    been acknowledged under it when it begins, and whether each is synchronous; ``keep``: how many earlier ones it
    names.
    """
    begun = metadata.with_generation(generation, at, keep=keep)
    metadata = msgspec.structs.replace(begun, store_state="Consistent")
    for name in told:
        metadata = remembered(metadata, name, generations=(*record_of(metadata, name).generations, generation))
    return with_base(metadata, kept, generation)


def with_base(metadata: NodeMetadata, members: Mapping[str, bool], generation: str) -> NodeMetadata:
    """Return the metadata after ``generation`` began while the peers ``members`` were in sync.

    ``members``: by name, whether the peer is synchronous.
    """
    for name, sync in members.items():
        record = record_of(metadata, name)
        if record.base:
            base = (record.base[0], *record.base[1:][-_BASE:], generation)
            loosely = (*record.base_async, *(() if sync else (generation,)))
            kept = tuple(one for one in loosely if one in base)
            metadata = remembered(metadata, name, base=base, base_async=kept)
    return metadata


def based(metadata: NodeMetadata, name: str, generations: Iterable[str], sync: bool, **facts: Any) -> NodeMetadata:
    """Return the metadata with a new base for ``name``: it has all that was acknowledged here under ``generations``."""
    base = tuple(dict.fromkeys(generations))
    return remembered(
        metadata, name, base=base, base_async=() if sync else base, split_brain=False, unproven=False, **facts
    )


def in_sync(metadata: NodeMetadata, name: str, generation: str, sync: bool, **facts: Any) -> NodeMetadata:
    """Return the metadata after it became known that ``name`` has everything that is under ``generation`` here."""
    return based(metadata, name, (generation,), sync, tracked=True, **facts)


def has_all(record: PeerRecord, generation: str) -> bool:
    """Whether the peer of ``record`` has every write that was acknowledged here under ``generation``."""
    return not generation or (generation in record.base and generation not in record.base_async)


def loosened(metadata: NodeMetadata) -> NodeMetadata:
    """Return the metadata of a target that sets bits from now on that are not made durable."""
    return _each(metadata, lambda record: record.tracked, loose=True)


def saved_only_for(metadata: NodeMetadata, name: str) -> NodeMetadata:
    """Return the metadata of a target that follows ``name`` now: what comes from there is not saved for others."""
    saved = record_of(metadata, name).saved
    metadata = _each(metadata, lambda record: record.saved, saved=False)
    return remembered(metadata, name, saved=True) if saved else metadata


def fastened(metadata: NodeMetadata) -> NodeMetadata:
    """Return the metadata after every bit was made durable."""
    return _each(metadata, lambda record: record.loose, loose=False)


def untracked(metadata: NodeMetadata, names: Collection[str]) -> NodeMetadata:
    """Return the metadata without trust in the bitmaps for the peers ``names``."""
    peers = {
        name: msgspec.structs.replace(record, tracked=False, merged=False, loose=False) if name in names else record
        for name, record in metadata.peers.items()
    }
    return msgspec.structs.replace(metadata, peers=peers)


def _each(metadata: NodeMetadata, which: Any, **facts: Any) -> NodeMetadata:
    peers = {
        name: msgspec.structs.replace(record, **facts) if which(record) else record
        for name, record in metadata.peers.items()
    }
    return msgspec.structs.replace(metadata, peers=peers)
