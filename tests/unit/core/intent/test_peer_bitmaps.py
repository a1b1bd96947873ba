"""What a target records in the bitmaps of its peers (R8): always all that they may lack, and little more."""

from __future__ import annotations

import random

from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.intent.peer_bitmaps import PeerBitmaps
from tests.unit.bitmaps import bitmap_of

BLOCKS, EXTENT = 64, 8


def bitmap() -> IntentBitmap:
    made = bitmap_of(BLOCKS, EXTENT)
    made.fill(0)
    return made


def named(peers: PeerBitmaps, name: str) -> set[int]:
    return set(peers.bitmaps[name].bits.search(1))


def in_sync(names: tuple[str, ...] = ("alpha", "gamma")) -> PeerBitmaps:
    peers = PeerBitmaps({name: bitmap() for name in names}, 12)
    peers.enter("alpha", names)
    peers.in_sync(10)
    return peers


def test_a_written_block_is_marked_until_the_peer_has_it_durable() -> None:
    peers = in_sync()
    peers.mark(0, 4096)
    assert named(peers, "gamma") == {0}
    assert peers.update({"gamma": 10}, 11) == ["gamma"]
    peers.mark(4096, 8192)
    assert named(peers, "gamma") == {0, 1, 2}
    assert peers.update({"gamma": 11}, 12) == ["gamma"]
    assert named(peers, "gamma") == {1, 2}
    peers.update({"gamma": 12}, 12)
    assert named(peers, "gamma") == set()


def test_in_a_mirror_of_two_nodes_nothing_is_marked() -> None:
    peers = in_sync(("alpha",))
    assert not peers.active
    peers.mark(0, 4096)
    assert named(peers, "alpha") == set()


def test_what_is_copied_by_a_resync_is_marked_until_this_node_is_in_sync_itself() -> None:
    peers = PeerBitmaps({name: bitmap() for name in ("alpha", "gamma")}, 12)
    peers.enter("alpha", ["gamma"])
    peers.mark(0, 4096)
    assert peers.update({"gamma": 10}, 11) == []
    assert named(peers, "gamma") == {0}


def test_nothing_is_marked_for_the_source() -> None:
    peers = in_sync()
    peers.mark(0, 4096)
    assert named(peers, "alpha") == set()


def test_the_bitmap_of_a_node_that_lags_behind_the_point_of_sync_is_not_complete_yet() -> None:
    peers = in_sync()
    assert peers.update({"gamma": 9}, 12) == []


def test_for_a_node_that_is_away_every_block_stays_marked() -> None:
    peers = in_sync()
    for block in range(20):
        peers.mark(block * 4096, 4096)
        peers.update({}, 11 + block)
    assert named(peers, "gamma") == set(range(20))


def test_a_node_without_a_bitmap_has_one_from_when_it_is_in_sync() -> None:
    peers = PeerBitmaps({"alpha": bitmap(), "gamma": bitmap()}, 12)
    peers.bitmaps["gamma"].fill(1)
    peers.enter("alpha", ["alpha"])
    peers.in_sync(10)
    peers.mark(0, 4096)
    assert peers.update({"gamma": 10}, 11) == ["gamma"]
    assert named(peers, "gamma") == {0}
    peers.mark(4096, 4096)
    assert named(peers, "gamma") == {0, 1}


def test_at_random_no_block_that_the_peer_may_lack_is_left_out_and_few_are_too_many() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        peers = in_sync(("alpha", "gamma", "delta"))
        seq, writes, durable = 10, [], {"gamma": 10, "delta": 10}
        reported_at = {"gamma": 10, "delta": 10}
        for _ in range(100):
            if rng.random() < 0.7:
                seq += 1
                block = rng.randrange(BLOCKS)
                writes.append((seq, block))
                peers.mark(block * 4096, 4096)
            else:
                for name in durable:
                    durable[name] = rng.randint(durable[name], seq)
                about = {name: at for name, at in durable.items() if rng.random() < 0.8}
                peers.update(about, seq)
                reported_at |= about
            for name, at in reported_at.items():
                lacking = {block for written, block in writes if written > at}
                assert lacking <= named(peers, name), f"seed {seed}: {name}"
        peers.update({"gamma": seq, "delta": seq}, seq)
        assert named(peers, "gamma") == named(peers, "delta") == set(), f"seed {seed}"
