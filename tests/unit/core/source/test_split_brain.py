"""Split-brain: which other node is source, with what evidence (R7)."""

from __future__ import annotations

from typing import Any

import pytest

from dkrepl.core.lineage.metadata import PeerRecord
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Answer
from dkrepl.core.source.split_brain import OtherSource, found, judge
from tests.unit import greetings
from tests.unit.core.source.alpha import Alpha
from tests.unit.records import record

RECORD = record(generation="g1")
OLD, NEW = Ballot(1, "alpha"), Ballot(2, "beta")


def answer(**fields: Any) -> Answer:
    """Return what beta says, which is source of generation g2; ``fields`` are set otherwise."""
    return greetings.answer(**{"role": "source", "generation": "g2", "own_bytes": 8192} | fields)


def judged(said: Answer, **facts: Any) -> OtherSource:
    """Return what alpha makes of it."""
    other = judge(record(**{"generation": "g1", "history": ("g0",)} | facts), said, 4096)
    assert other is not None
    return other


def test_for_a_peer_that_is_not_source_no_bitmap_is_counted() -> None:
    """That takes milliseconds for each TiB, in the loop, as long as the peer is away."""
    assert found(RECORD, {}, [answer(role="target")]) == {}


@pytest.mark.parametrize("fields", [{"mirror": "r1"}, {"mirror_id": "m2"}, {"role": "target"}])
def test_a_source_of_another_mirror_is_none_of_this_one(fields: dict[str, Any]) -> None:
    assert judge(RECORD, answer(**fields), 0) is None


def test_if_both_have_written_without_the_other_the_evidence_names_both() -> None:
    other = judged(answer(since=1800.0), generation_at=1700.0)
    assert (other.kind, other.since) == ("SplitBrain", 1800.0)
    assert "4096 bytes here, 8192 there" in other.text
    assert "dkrepl resolve --keep NODE" in other.text


@pytest.mark.parametrize(("ballots", "told"), [((OLD, NEW), False), ((NEW, OLD), True)])
def test_if_only_the_other_has_written_this_node_is_to_be_demoted(ballots: tuple[Ballot, Ballot], told: bool) -> None:
    other = judged(answer(history=["g1"], ballot=ballots[1]), ballot=ballots[0])
    assert other.kind == "OtherNewer"
    assert "demote this node" in other.text
    assert ("dkrepl resolve --keep beta" in other.text) == told, "its targets do not go back to an older election"


@pytest.mark.parametrize(("ballots", "told"), [((OLD, NEW), True), ((NEW, OLD), False)])
def test_if_only_this_one_has_written_the_other_is_to_be_demoted(ballots: tuple[Ballot, Ballot], told: bool) -> None:
    other = judged(answer(generation="g0", ballot=ballots[1]), ballot=ballots[0])
    assert other.kind == "ThisNewer"
    assert "demote beta" in other.text
    assert ("dkrepl resolve --keep" in other.text) == told


@pytest.mark.parametrize(
    ("ballots", "which"),
    [((NEW, OLD), "demote beta"), ((OLD, NEW), "demote this node, which was elected earlier"), ((OLD, OLD), "one of")],
)
def test_if_neither_has_written_the_one_that_was_elected_earlier_gives_way(
    ballots: tuple[Ballot, Ballot], which: str
) -> None:
    other = judged(answer(base=["g2"], ballot=ballots[1]), peers={"beta": PeerRecord(base=("g1",))}, ballot=ballots[0])
    assert other.kind == "TwoSources"
    assert which in other.text


# --- what a source makes of it --------------------------------------------------------------------------------


def test_a_split_brain_is_reported_once_and_recorded() -> None:
    alpha = Alpha()
    alpha.view().bitmap.mark(0, 1)
    for _ in range(2):
        alpha.core.on_answers([answer()])
        alpha.perform()
    assert alpha.reported() == ["split_brain"]
    assert alpha.core.metadata.peers["beta"].split_brain
    assert alpha.core.other_sources["beta"].here_bytes == alpha.description.block


def test_what_it_turns_into_is_reported_too() -> None:
    alpha = Alpha()
    alpha.core.on_answers([answer()])
    alpha.core.on_answers([answer(history=["b1"])])
    alpha.perform()
    assert alpha.reported() == ["split_brain", "two_sources"]
    alpha.core.on_answers([answer(mirror="r1")])
    assert alpha.core.other_sources == {}
