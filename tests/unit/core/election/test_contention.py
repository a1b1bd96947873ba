"""What a source that was elected before this node holds, seen from this node, which was source as well."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dkrepl.core.election.contention import contention
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Answer
from tests.unit import greetings
from tests.unit.records import record

HERE: NodeMetadata = record(ballot=Ballot(5, "alpha"), history=("g2", "g1"))


def source(generation: str, history: tuple[str, ...] = (), base: tuple[str, ...] = (), **facts: Any) -> Answer:
    plain = {"role": "source", "generation": generation, "history": list(history), "base": list(base)}
    return greetings.answer(**plain | facts)


@pytest.mark.parametrize(
    ("answer", "kind", "after_force"),
    [
        (source("g4", ("g3",)), "newer source", "newer source"),
        (source("g3"), "source", "newer source"),
        (source("g2"), "source", "source"),
        # All that it answered under g4 is here, except perhaps, if this node was forced, the last writes.
        (source("g4", (), ("g3", "g4")), "source", "newer source"),
        (source("g4", (), ("g2", "g4")), "source", "source"),
        (source("h4", ("g2",)), "diverged source", "diverged source"),
    ],
)
def test_what_a_source_holds_that_was_elected_before(answer: Answer, kind: str, after_force: str) -> None:
    assert contention(HERE, answer) == kind
    assert contention(msgspec.structs.replace(HERE, forced=("NoQuorum",)), answer) == after_force


def test_a_source_that_was_elected_later_is_followed() -> None:
    assert contention(HERE, source("h4", ballot=Ballot(6, "beta"))) is None
