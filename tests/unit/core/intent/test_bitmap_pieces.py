"""An intent bitmap of several pieces, and what is built on it, against sets of blocks (R2, R8)."""

from __future__ import annotations

import random

import pytest
from bitarray import bitarray

from dkrepl.config.limits import Limits
from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.intent.peer_bitmaps import PeerBitmaps
from dkrepl.core.source.resync_state import Resync
from tests.unit.bitmaps import bitmap_of

BLOCKS, PER = 205, 8
SMALL = Limits(piece_shift=4, fill_pieces=2, peer_bitmap_pieces=3)


def fresh() -> IntentBitmap:
    made = bitmap_of(BLOCKS, PER, SMALL)
    made.fill(0)
    return made


@pytest.mark.parametrize("seed", range(150))
def test_every_answer_is_that_of_a_set_of_blocks(seed: int) -> None:
    rng, named, expected = random.Random(seed), fresh(), set[int]()
    for _ in range(30):
        first = rng.randrange(BLOCKS)
        end = rng.randint(first + 1, min(BLOCKS, first + rng.choice((1, 20, BLOCKS))))
        step = rng.randrange(5)
        if step == 0:
            named.mark(first, end)
            expected |= set(range(first, end))
        elif step == 1:
            named.clear(first, end)
            expected -= set(range(first, end))
        elif step == 2:
            stay = bitarray([rng.random() < 0.5 for _ in range(end - first)], "little")
            named.keep_only(first, stay)
            expected -= {block for block in range(first, end) if not stay[block - first]}
        elif step == 3:
            value = rng.randrange(2)
            named.begin_fill(value)
            while named.filling:
                named.fill_step()
            expected = set(range(BLOCKS)) if value else set()
        else:
            named.take_touched()
        assert named.count() == len(expected), f"seed {seed}"
        assert {block for a, b in named.runs() for block in range(a, b)} == expected, f"seed {seed}"
        assert named.find(first) == min((block for block in expected if block >= first), default=-1), f"seed {seed}"
        clean = min((block for block in range(first, end) if block not in expected), default=end)
        assert named.find_clean(first, end) == clean, f"seed {seed}"
        parts = [(at, bitarray(buffer=part, endian="little")) for at, part in named.chunks(3)]
        assert {at + i for at, part in parts for i in part.search(1)} == expected, f"seed {seed}"
    named.seal_all()
    assert named.damaged(()) == [], f"seed {seed}"


@pytest.mark.parametrize("seed", range(150))
def test_a_resync_sends_what_was_named_at_its_start_and_nothing_else(seed: int) -> None:
    rng, named = random.Random(seed), fresh()
    start = set(rng.sample(range(BLOCKS), rng.randrange(BLOCKS)))
    for block in start:
        named.mark(block, block + 1)
    resync, sent, on_way = Resync(named, 4096, 0.0, limits=SMALL), list[int](), set[int]()
    while not resync.all_sent or resync.on_way:
        first = rng.randrange(BLOCKS)
        end = min(BLOCKS, first + rng.choice((1, 1, 40)))
        if rng.random() < 0.5:
            resync.before_write(first, end)
            named.mark(first, end)
        found = resync.next_run(rng.randint(1, 30))
        if found is not None and rng.random() < 0.7:
            resync.sent(*found, data_bytes=0, position=0)
            sent += range(*found)
            on_way |= set(range(*found))
        elif resync.on_way:
            for run in resync.confirmed(resync.on_way[0].rseq):
                on_way -= set(range(run.first, run.end))
        left = resync.unsynced(0, BLOCKS)
        assert (set() if left is None else set(left.search(1))) == start - set(sent) | on_way, f"seed {seed}"
    assert sent == sorted(start), f"seed {seed}"


@pytest.mark.parametrize("seed", range(100))
def test_a_peer_bitmap_names_all_that_the_peer_may_lack_and_in_the_end_nothing_else(seed: int) -> None:
    rng = random.Random(seed)
    peers = PeerBitmaps({"alpha": fresh(), "gamma": fresh()}, 12, limits=SMALL)
    peers.bitmaps["gamma"].fill(1)
    peers.enter("alpha", ["gamma"] if rng.random() < 0.5 else [])
    peers.in_sync(10)
    seq, durable, writes, reported = 10, 10, list[tuple[int, int]](), False
    for _ in range(60):
        if rng.random() < 0.6:
            seq += 1
            first = rng.randrange(BLOCKS)
            end = min(BLOCKS, first + rng.choice((1, 50)))
            writes += [(seq, block) for block in range(first, end)]
            peers.mark(first << 12, (end - first) << 12)
        else:
            durable = rng.randint(durable, seq)
            reported = peers.update({"gamma": durable}, seq) == ["gamma"] or reported
        if reported:
            lacking = {block for at, block in writes if at > durable}
            assert lacking <= set(peers.bitmaps["gamma"].bits.search(1)), f"seed {seed}"
    for _ in range(BLOCKS // 8):
        peers.update({"gamma": seq}, seq)
    assert not peers.bitmaps["gamma"].any(), f"seed {seed}"
