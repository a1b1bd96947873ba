"""What a target marks for the other nodes (R8): always all that they may lack, and little more."""

from __future__ import annotations

import random

from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.intent.peer_bitmaps import PeerBitmaps

BLOCKS, EXTENT = 64, 8


def bitmap() -> IntentBitmap:
    made = IntentBitmap(bytearray(BLOCKS // 8), bytearray(4 * BLOCKS // EXTENT), BLOCKS, EXTENT)
    made.fill(0)
    return made


def named(marks: PeerBitmaps, name: str) -> set[int]:
    return set(marks.bitmaps[name].bits.search(1))


def in_sync(names: tuple[str, ...] = ("alpha", "gamma")) -> PeerBitmaps:
    marks = PeerBitmaps({name: bitmap() for name in names}, 12)
    marks.enter("alpha", names)
    marks.in_sync(10)
    return marks


def test_what_is_written_is_marked_until_the_other_has_it_durable() -> None:
    marks = in_sync()
    marks.mark(0, 4096)
    assert named(marks, "gamma") == {0}
    assert marks.update({"gamma": 10}, 11) == ["gamma"]
    marks.mark(4096, 8192)
    assert named(marks, "gamma") == {0, 1, 2}
    assert marks.update({"gamma": 11}, 12) == ["gamma"]
    assert named(marks, "gamma") == {1, 2}
    marks.update({"gamma": 12}, 12)
    assert named(marks, "gamma") == set()


def test_nothing_is_marked_for_the_source() -> None:
    marks = in_sync()
    marks.mark(0, 4096)
    assert named(marks, "alpha") == set()


def test_a_node_that_lags_behind_the_point_of_sync_is_not_right_yet() -> None:
    marks = in_sync()
    assert marks.update({"gamma": 9}, 12) == []


def test_for_a_node_that_is_away_everything_stays_marked() -> None:
    marks = in_sync()
    for block in range(20):
        marks.mark(block * 4096, 4096)
        marks.update({}, 11 + block)
    assert named(marks, "gamma") == set(range(20))


def test_a_node_that_was_not_tracked_is_marked_for_from_when_it_is_in_sync() -> None:
    marks = PeerBitmaps({"alpha": bitmap(), "gamma": bitmap()}, 12)
    marks.bitmaps["gamma"].fill(1)
    marks.enter("alpha", ["alpha"])
    marks.in_sync(10)
    marks.mark(0, 4096)
    assert marks.update({"gamma": 10}, 11) == ["gamma"]
    assert named(marks, "gamma") == {0}
    marks.mark(4096, 4096)
    assert named(marks, "gamma") == {0, 1}


def test_at_random_no_block_that_the_other_may_lack_is_left_out_and_few_are_too_many() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        marks = in_sync(("alpha", "gamma", "delta"))
        seq, writes, durable = 10, [], {"gamma": 10, "delta": 10}
        told_at = {"gamma": 10, "delta": 10}
        for _ in range(100):
            if rng.random() < 0.7:
                seq += 1
                block = rng.randrange(BLOCKS)
                writes.append((seq, block))
                marks.mark(block * 4096, 4096)
            else:
                for name in durable:
                    durable[name] = rng.randint(durable[name], seq)
                about = {name: at for name, at in durable.items() if rng.random() < 0.8}
                marks.update(about, seq)
                told_at |= about
            for name, at in told_at.items():
                lacking = {block for written, block in writes if written > at}
                assert lacking <= named(marks, name), f"seed {seed}: {name}"
        marks.update({"gamma": seq, "delta": seq}, seq)
        assert named(marks, "gamma") == named(marks, "delta") == set(), f"seed {seed}"
