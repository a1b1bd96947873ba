"""When a target meets the source (R7, R8): every outcome of the table, and no other."""

from __future__ import annotations

from itertools import product

import msgspec
import pytest

from dkrepl.core.lineage.generation import decide
from dkrepl.core.lineage.metadata import NodeMetadata, PeerRecord
from dkrepl.core.protocol.messages import Hello
from tests.unit.greetings import hello
from tests.unit.records import record

BETA = PeerRecord(epoch=5, offered=7, generations=("g3", "g9"), base=("g2",), tracked=True, merged=True)
SOURCE = record(history=("g2", "g1"), epoch=2, peers={"beta": BETA})
HELLO = hello(protocol_min=1, protocol_max=1, generation="g3", history=["g2"], epoch=6)
NEW = msgspec.structs.replace(HELLO, mirror_id="", generation="", history=[], store_state="Empty", epoch=0, follows="")
EMPTY = msgspec.structs.replace(SOURCE, generation="", history=(), store_state="Empty", peers={})
# What it remembers if it was not the source's target last, but kept a bitmap for it.
ALONE: dict[str, object] = {"generation": "h4", "history": ["g2"]}
APART: dict[str, object] = {"follows": "gamma", "tracked": True, "epoch": 9, "peer_epoch": 2}


def outcome(source: NodeMetadata, hello: Hello, dirty: bool = False, /, **changes: object) -> tuple[str, str]:
    found = decide(source, msgspec.structs.replace(hello, **changes), dirty)
    assert found.text
    return found.action, found.code


def knowing(**changes: object) -> NodeMetadata:
    return msgspec.structs.replace(SOURCE, peers={"beta": msgspec.structs.replace(BETA, **changes)})


@pytest.mark.parametrize(
    ("changes", "dirty", "expected"),
    [
        ({}, False, ("Nothing", "Clean")),
        ({}, True, ("Partial", "Dirty")),
        ({"store_state": "Inconsistent"}, False, ("Partial", "Dirty")),
        ({"dirty_blocks": 3}, False, ("Partial", "Dirty")),
        ({"mirror": "r1"}, False, ("Refuse", "OtherMirror")),
        ({"mirror_id": "m2"}, False, ("Refuse", "OtherMirror")),
        ({"size": 4096}, False, ("Refuse", "SizeDiffers")),
        ({"block": 8192}, False, ("Refuse", "BlockDiffers")),
        # the lineage: past
        ({"generation": "g1"}, True, ("Partial", "Dirty")),
        ({"generation": "g9"}, True, ("Partial", "Dirty")),  # told to it, and forgotten otherwise
        ({"generation": ""}, True, ("Partial", "Dirty")),
        # spared: it never completed a write under h4 without this node, and both know g2 or g3
        ({"generation": "h4", "history": ["g2"], "base": ["g2", "h4"]}, True, ("Partial", "Dirty")),
        ({"generation": "h4", "history": ["g2"], "base": ["h0", "h4"]}, True, ("Refuse", "SplitBrain")),
        ({"generation": "h4", "history": ["g2"], "base": ["g2"]}, True, ("Refuse", "SplitBrain")),
        # yielding
        ({"generation": "h4", "history": ["g2"], "yields": "keep"}, False, ("Nothing", "Clean")),
        ({"generation": "h4", "history": ["g2"], "yields": "keep", "dirty_blocks": 1}, False, ("Partial", "Dirty")),
        (ALONE | APART | {"tracked": False, "yields": "keep"}, False, ("Refuse", "NotKept")),
        (ALONE | APART | {"tracked": False, "yields": "discard"}, False, ("Full", "NotTracked")),
        # not to be overwritten
        ({"generation": "h4", "history": ["g3"]}, False, ("Refuse", "TargetNewer")),
        ({"generation": "h4", "history": ["g2"]}, False, ("Refuse", "SplitBrain")),
        ({"generation": "h4", "history": []}, False, ("Refuse", "Unrelated")),
        # the amount
        ({"epoch": 5}, True, ("Partial", "Dirty")),
        ({"epoch": 7}, True, ("Partial", "Dirty")),
        ({"epoch": 4}, False, ("Full", "OldMetadata")),
        ({"epoch": 8}, False, ("Full", "OldMetadata")),
        (APART, False, ("Nothing", "Clean")),
        (APART | {"dirty_blocks": 1}, False, ("Partial", "Dirty")),
        (APART | {"tracked": False}, False, ("Full", "NotTracked")),
        (APART | {"epoch": 4}, False, ("Full", "OldMetadata")),
        (APART | {"peer_epoch": 3}, False, ("Full", "OldMetadata")),  # this node's record is from a backup
    ],
)  # fmt: skip
def test_a_target_that_is_known(changes: dict[str, object], dirty: bool, expected: tuple[str, str]) -> None:
    assert outcome(SOURCE, HELLO, dirty, **changes) == expected


def test_a_target_whose_bitmap_was_not_kept() -> None:
    assert outcome(msgspec.structs.replace(SOURCE, peers={}), HELLO) == ("Full", "NotTracked")
    assert outcome(knowing(tracked=False), HELLO) == ("Full", "NotTracked")
    assert outcome(knowing(merged=False), HELLO) == ("Full", "NotTracked")  # it had marks, and they never came
    assert outcome(knowing(merged=False), HELLO, tracked=True) == ("Nothing", "Clean")


def test_a_target_that_wrote_alone_is_newer_if_the_source_did_not() -> None:
    assert outcome(knowing(base=("g2", "g3")), HELLO, **ALONE) == ("Refuse", "TargetNewer")
    assert outcome(knowing(base=("g2",)), HELLO, **ALONE) == ("Refuse", "SplitBrain")


def test_a_new_target() -> None:
    assert outcome(EMPTY, NEW) == ("Nothing", "NewAndEmpty")
    assert outcome(EMPTY, NEW, store_state="Inconsistent") == ("Full", "NewTarget")
    assert outcome(SOURCE, NEW) == ("Full", "NewTarget")
    assert outcome(msgspec.structs.replace(EMPTY, store_state="Consistent"), NEW) == ("Full", "NewTarget")


def test_a_source_without_data_overwrites_nobody() -> None:
    assert outcome(EMPTY, HELLO, epoch=0)[0] == "Refuse"


def test_whatever_they_remember_only_descendants_overwrite_and_only_what_was_tracked_is_copied_in_part() -> None:
    generations = ["", "g1", "g2", "g3", "g9", "h1", "h2"]
    for generation, past, base, epoch, state, follows, tracked, merged, yields, dirty in product(
        generations,
        ([], ["g3"], ["h1"], ["g2"]),
        ([], ["g2"], ["g2", "h1"], ["h2", "h1"]),
        (0, 4, 6, 8),
        ("Consistent", "Inconsistent"),
        ("alpha", "beta"),
        (False, True),
        (False, True),
        ("", "keep", "discard"),
        (False, True),
    ):
        hello = msgspec.structs.replace(
            HELLO,
            generation=generation,
            history=past,
            base=base,
            epoch=epoch,
            store_state=state,
            follows=follows,
            tracked=tracked,
            yields=yields,
        )
        found = decide(knowing(merged=merged), hello, dirty)
        descends = generation not in ("h1", "h2")
        never_alone = generation in base and "g2" in base
        if not (descends or never_alone or yields):
            assert found.action == "Refuse"
        else:
            assert (found.action == "Refuse") == (found.code == "NotKept")
        if found.action in ("Nothing", "Partial"):
            assert tracked or (follows == "alpha" and merged)
            assert epoch == 6 or (epoch == 8 and follows != "alpha")
        if found.action == "Nothing":
            assert not dirty
            assert state == "Consistent"
        if found.code == "NotKept":
            assert yields == "keep"
