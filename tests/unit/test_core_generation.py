"""When a target meets the source (R7, R8): every outcome of the table, and no other."""

from __future__ import annotations

from itertools import product

import msgspec
import pytest

from dkrepl.core.generation import decide
from dkrepl.core.messages import Hello
from dkrepl.core.metadata import NodeMetadata, PeerRecord

SOURCE = NodeMetadata(
    format=1,
    mirror="r0",
    mirror_id="m1",
    node="alpha",
    role="source",
    size=1 << 20,
    block=4096,
    extent=32768,
    generation="g3",
    history=("g2", "g1"),
    store_state="Consistent",
    peers={"beta": PeerRecord(5, 7, ("g3", "g9"))},
)
HELLO = Hello(1, 1, "r0", "m1", "beta", 1 << 20, 4096, "g3", ["g2"], "Consistent", 6, "x", "alpha")
NEW = msgspec.structs.replace(HELLO, mirror_id="", generation="", history=[], store_state="Empty", join=0, follows="")
EMPTY = msgspec.structs.replace(SOURCE, generation="", history=(), store_state="Empty", peers={})


def outcome(source: NodeMetadata, hello: Hello, dirty: bool = False, **changes: object) -> tuple[str, str]:
    found = decide(source, msgspec.structs.replace(hello, **changes), dirty)
    assert found.text
    return found.action, found.code


@pytest.mark.parametrize(
    ("changes", "dirty", "expected"),
    [
        ({}, False, ("Nothing", "Clean")),
        ({}, True, ("Partial", "Dirty")),
        ({"store_state": "Inconsistent"}, False, ("Partial", "Dirty")),
        ({"mirror": "r1"}, False, ("Refuse", "OtherMirror")),
        ({"mirror_id": "m2"}, False, ("Refuse", "OtherMirror")),
        ({"size": 4096}, False, ("Refuse", "SizeDiffers")),
        ({"block": 8192}, False, ("Refuse", "BlockDiffers")),
        ({"generation": "g1"}, True, ("Partial", "Dirty")),
        ({"generation": "g9"}, True, ("Partial", "Dirty")),  # told to it, and forgotten otherwise
        ({"generation": ""}, True, ("Partial", "Dirty")),
        ({"generation": "h4", "history": ["g3"]}, False, ("Refuse", "TargetNewer")),
        ({"generation": "h4", "history": ["g2"]}, False, ("Refuse", "SplitBrain")),
        ({"generation": "h4", "history": []}, False, ("Refuse", "SplitBrain")),
        ({"join": 5}, True, ("Partial", "Dirty")),
        ({"join": 7}, True, ("Partial", "Dirty")),
        ({"join": 4}, False, ("Full", "OldMetadata")),
        ({"join": 8}, False, ("Full", "OldMetadata")),
        ({"follows": "gamma"}, False, ("Full", "OtherSource")),
    ],
)
def test_a_target_that_is_known(changes: dict[str, object], dirty: bool, expected: tuple[str, str]) -> None:
    assert outcome(SOURCE, HELLO, dirty, **changes) == expected


def test_a_target_that_is_not_known() -> None:
    assert outcome(msgspec.structs.replace(SOURCE, peers={}), HELLO) == ("Full", "NotTracked")


def test_a_new_target() -> None:
    assert outcome(EMPTY, NEW) == ("Nothing", "NewAndEmpty")
    assert outcome(EMPTY, NEW, store_state="Inconsistent") == ("Full", "NewTarget")
    assert outcome(SOURCE, NEW) == ("Full", "NewTarget")
    assert outcome(msgspec.structs.replace(EMPTY, store_state="Consistent"), NEW) == ("Full", "NewTarget")


def test_a_source_without_data_overwrites_nobody() -> None:
    assert outcome(EMPTY, HELLO, join=0)[0] == "Refuse"


def test_whatever_they_remember_a_stranger_is_never_overwritten() -> None:
    generations = ["", "g1", "g2", "g3", "g9", "h1", "h2"]
    for generation, past, join, state, follows, dirty in product(
        generations,
        ([], ["g3"], ["h1"]),
        (0, 4, 6, 8),
        ("Consistent", "Inconsistent"),
        ("alpha", "beta"),
        (False, True),
    ):
        hello = msgspec.structs.replace(
            HELLO, generation=generation, history=past, join=join, store_state=state, follows=follows
        )
        action = decide(SOURCE, hello, dirty).action
        assert (action == "Refuse") == (generation in ("h1", "h2"))
        if action in ("Nothing", "Partial"):
            assert join == 6
            assert follows == "alpha"
        if action == "Nothing":
            assert not dirty
            assert state == "Consistent"
