"""What a node must remember of a mirror across restarts, besides its data and its intent log.

One small record, replaced as a whole (written beside, flushed, renamed). Its first line is a checksum of the
rest, so a damaged or half-written one is refused (rule R9).
"""

from __future__ import annotations

from typing import Literal

import msgspec
from xxhash import xxh3_64_hexdigest

from dkrepl.core.protocol.ballot import Ballot
from dkrepl.errors import MetadataError

FORMAT = 3
StoreState = Literal["Empty", "Consistent", "Inconsistent"]


class PeerRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a node remembers of one peer.

    ``epoch`` is the number of the peer's last epoch that it has recorded, as far as is known, and ``offered`` that
    of the newest one offered to it here (0: never); ``generations`` are those that it may have recorded since.
    ``base``: the generations under which nothing was acknowledged here without it.

    ``tracked``: the bitmap for it names every block that was written here and that it may lack. ``merged``: our
    bitmap includes the one that it kept for this node before it followed this node. ``loose``: bits were set without
    being made durable, so a power loss ends the tracking. ``saved``: the blocks that it names were copied aside.
    ``base_async``: those of ``base`` under which it was asynchronous, so that it may lack the last writes all the same.
    ``split_brain``: each of the two was found to have written without the other, and that is not resolved (R15).
    """

    epoch: int = 0
    offered: int = 0
    generations: tuple[str, ...] = ()
    paused: bool = False
    base: tuple[str, ...] = ()
    tracked: bool = False
    merged: bool = False
    loose: bool = False
    saved: bool = False
    base_async: tuple[str, ...] = ()
    split_brain: bool = False
    full: bool = False  # an administrator asked for a full resync, which has not begun (R15)
    unproven: bool = False  # not InSync since it joined, or its store failed: it may lack acknowledged writes (R4)


class NodeMetadata(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node's record. ``generation`` "" is the state before the first write of all.

    What makes this copy worth less is recorded here before anything follows from it, and outlives the daemon (R15):
    ``store_failed``, ``power_lost``, ``forced``, and ``split_brain`` of each peer.
    """

    format: int
    mirror: str
    mirror_id: str
    node: str
    role: Literal["source", "target"]
    size: int
    block: int
    extent: int
    generation: str = ""
    history: tuple[str, ...] = ()
    store_state: StoreState = "Empty"
    epoch: int = 0  # as a target: number of the last epoch
    follows: str = ""  # as a target: the source of that epoch
    boot: str = ""  # the kernel's boot id under which the bitmaps were last opened
    generation_at: float = 0.0  # Unix time at which this node, as source, began the generation; 0: it did not
    ballot: Ballot = Ballot()  # under which it serves as source, or that of the source that it followed last
    # As a target: ballots newer than that, under which it voted; the newest first (core/election/vote.py).
    promised: tuple[Ballot, ...] = ()
    stood: int = 0  # number of the newest ballot under which it asked for votes itself
    next_source: str = ""  # as a former source: the node that is to be source now (switchover)
    next_source_epoch: int = 0  # and the epoch of that node in which it had everything
    # After dkrepl resolve --keep NODE: NODE's data may replace this node's own writes, which are saved to a file before
    # ("keep") or not ("discard").
    yields: Literal["", "keep", "discard"] = ""
    yields_to: str = ""
    peers: dict[str, PeerRecord] = {}
    agreed: dict[str, str] = {}  # the terms (config/terms.py) under which it last served or followed
    # As source: older terms that must be satisfied as well (core/election/quorum.py).
    former: tuple[dict[str, str], ...] = ()
    last_mode: Literal["", "sync", "async"] = ""  # as a target: its mode in the last epoch
    unsettled: bool = False  # as a target: something applied may not be on stable storage
    store_failed: str = ""  # why what was written here since the last flush may be lost: a flush of the store failed
    power_lost: bool = False  # as a target: power was lost since it was last in sync, and unflushed writes with it
    forced: tuple[str, ...] = ()  # codes of the reasons against its promotion that an administrator overruled
    forced_at: float = 0.0  # Unix time of that promotion

    def with_generation(self, generation: str, at: float = 0.0, *, keep: int) -> NodeMetadata:
        """Return the record after a new generation. The old one goes into the history, whose newest ``keep`` stay."""
        history = ((self.generation, *self.history) if self.generation else self.history)[:keep]
        return msgspec.structs.replace(self, generation=generation, history=history, generation_at=at)


def pack(metadata: NodeMetadata) -> bytes:
    """Return the file's content."""
    body = msgspec.json.format(msgspec.json.encode(metadata), indent=1) + b"\n"
    return xxh3_64_hexdigest(body).encode() + b"\n" + body


def parse(content: bytes, where: str) -> NodeMetadata:
    """Check and return a record; ``where`` names it in errors. Raises ``MetadataError``."""
    total, _, body = content.partition(b"\n")
    if total != xxh3_64_hexdigest(body).encode():
        raise MetadataError(
            f"{where} fails its checksum; initialise the node again, after a failover if it was the source"
        )
    try:
        found = msgspec.json.decode(body)
        if isinstance(found, dict) and isinstance(found.get("format"), int) and found["format"] > FORMAT:
            raise MetadataError(f"{where} was written by a newer dkrepl (format {found['format']}); upgrade this node")
        if isinstance(found, dict) and isinstance(found.get("format"), int) and found["format"] < FORMAT:
            raise MetadataError(
                f"{where} was written by an older dkrepl (format {found['format']}) that this one cannot read; move "
                "its directory away and initialise the node again"
            )
        return msgspec.convert(found, NodeMetadata)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MetadataError(
            f"{where} cannot be understood ({error}); upgrade this node if a newer dkrepl wrote it, else initialise "
            "the node again"
        ) from None
