"""What one seed's cluster is like: few blocks, small windows, so that every limit is met often."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import msgspec

from dkrepl.config.description import Description, parse
from dkrepl.config.limits import Limits

BLOCK = 64  # bytes
EXTENT_BLOCKS = 8
PEER_TIMEOUT = 2.0  # seconds
LIMITS = Limits(
    piece_shift=4,
    fill_pieces=1,
    peer_bitmap_pieces=1,
    active_extents=5,
    extent_idle_seconds=2.0,
    extents_ahead=1,
    logged_writes=512,
    logged_writes_spare=100,
    cell_shift=2,
    resync_window_bytes=300,
    resync_window_messages=4,
    resync_message_bytes=128,
    resync_extents_ahead=2,
    resync_messages_idle=3,
    zero_extents=2,
    zero_record_bytes=13 * BLOCK,
    rejoin_last_seconds=4.0,
    bitmap_part_bytes=1,
    bitmap_parts_a_round=2,
    stream_messages_a_round=8,
    flush_bytes=400,
    zero_call_bytes=8 * BLOCK,
    generations=4,
    requests_a_round=6,
    incomplete_bytes=1000,
    message_records=3,
    message_bytes=100,
    copy_below_bytes=100,
    zero_first_bytes=8 * BLOCK,
    zero_least_bytes=8 * BLOCK,
    last_acks_seconds=1.0,
)

_TEXT = 'name = "r0"\nsize = "1MiB"\nsource = "alpha"\n'
_NODE = '[[node]]\nname = "{0}"\naddress = "10.0.0.{1}"\nstore = "/store"\n'


@dataclass(frozen=True)
class Settings:
    """Chosen from the seed."""

    description: Description
    hwm: int
    cold: float  # probability that a read has to wait for the disk
    depth: int  # requests that the application has on the way
    pace: float  # mean seconds between two requests
    seconds: float  # of faults
    calm: float  # mean seconds between two faults
    roles: bool  # whether targets are promoted
    never_waits: bool  # no target may delay the application, and the source itself is spared
    kept: bool  # whether the device outlives its daemon
    limits: Limits = LIMITS


def draw(rng: random.Random) -> Settings:
    """Return the settings of a seed."""
    names = ["alpha", "beta", "gamma", "delta"][: rng.choice((2, 3, 3, 4))]
    blocks = rng.choice((32, 60, 96))
    base = parse(_TEXT + "".join(_NODE.format(name, n) for n, name in enumerate(names, 1)), "r0", {})
    asynchronous = rng.random() < 0.25
    never_waits = asynchronous and rng.random() < 0.5
    nodes = tuple(
        msgspec.structs.replace(
            node,
            mode="async" if asynchronous else rng.choice(("sync", "async")),
            on_full="bitmap" if never_waits else rng.choice(("block", "bitmap")),
            async_limit=rng.choice((3, 5, 8, 16)),
        )
        for node in base.nodes
    )
    description = msgspec.structs.replace(
        base,
        size=blocks * BLOCK - rng.choice((0, 0, 16)),
        block=BLOCK,
        extent=EXTENT_BLOCKS * BLOCK,
        window=rng.choice((256, 512, 2048)),
        resync_rate=rng.choice((0, 0, 0, 4000)),
        peer_timeout=PEER_TIMEOUT,
        start_alone=rng.choice((None, 1.0, 10.0)),
        nodes=nodes,
    )
    drawn = Settings(
        description=description,
        hwm=rng.choice((4, 10, 40, 200)),
        cold=rng.choice((0.0, 0.2, 0.6)),
        depth=rng.choice((1, 2, 4, 8)),
        pace=rng.choice((0.002, 0.01, 0.05) if asynchronous else (0.002, 0.01, 0.05, 0.2)),
        seconds=rng.choice((2.0, 6.0, 15.0)),
        calm=rng.choice((0.3, 1.0, 3.0)),
        roles=rng.random() < 0.45 and not never_waits,
        never_waits=never_waits,
        kept=rng.random() < 0.5,
    )
    return replace(drawn, description=with_copies(rng, description))


def with_copies(rng: random.Random, description: Description) -> Description:
    """Draw how many copies must have a write before its answer: at most as many as there are with any node as source,
    as the description file is checked."""
    sync = sum(node.mode == "sync" for node in description.nodes)
    most = min(1 + sync - (node.mode == "sync") for node in description.nodes)
    least = rng.choice((1, 1, rng.randrange(1, most + 1), most))
    return msgspec.structs.replace(description, min_copies=least, on_no_quorum=rng.choice(("wait", "wait", "error")))
