"""What a daemon does next, and what it records before that (R7, R15)."""

from __future__ import annotations

import msgspec
import pytest

from dkrepl.core.election.arbitration import Verdict
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.lineage.role_records import as_target
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.daemon.lifecycle import Overruled, after_arbitration, after_serving, asks_first, served_with

SOURCE = NodeMetadata(
    format=3,
    mirror="r0",
    mirror_id="m1",
    node="alpha",
    role="source",
    size=1 << 20,
    block=4096,
    extent=32768,
    generation="g3",
    store_state="Consistent",
)
TARGET = as_target(SOURCE)


def same(record: NodeMetadata) -> NodeMetadata:
    return record


def test_a_node_that_was_source_asks_its_peers_before_it_serves() -> None:
    assert asks_first(SOURCE)
    assert not asks_first(TARGET)


def test_an_arbitration_that_was_stopped_ends_the_daemon_and_changes_nothing() -> None:
    step = after_arbitration(SOURCE, None, None, None, same)
    assert (step.serves, step.record, step.abandons) == (False, None, False)


def test_whoever_may_serve_keeps_its_record_and_its_device() -> None:
    step = after_arbitration(SOURCE, "serve", None, None, same)
    assert (step.serves, step.record, step.abandons) == (True, None, False)


def test_a_node_that_finds_another_source_follows_it_and_gives_its_device_up() -> None:
    step = after_arbitration(SOURCE, "follow", None, None, same)
    assert step.serves
    assert step.abandons
    assert step.record is not None
    assert step.record.role == "target"


@pytest.mark.parametrize("verdict", [None, "serve", "follow"])
def test_a_change_of_role_that_was_ordered_comes_before_the_verdict(verdict: Verdict | None) -> None:
    step = after_arbitration(
        SOURCE, verdict, lambda record: as_target(record, yields="keep", yields_to="beta"), None, same
    )
    assert step.serves
    assert step.abandons
    assert step.record is not None
    assert step.record.yields_to == "beta"


def test_what_a_promotion_by_force_overruled_is_recorded_before_it_serves() -> None:
    step = after_arbitration(SOURCE, "serve", None, Overruled(("NoQuorum",), 1700.0), same)
    assert step.serves
    assert not step.abandons
    assert step.record == msgspec.structs.replace(SOURCE, forced=("NoQuorum",), forced_at=1700.0)


def test_what_was_overruled_before_stays_known() -> None:
    before = msgspec.structs.replace(SOURCE, forced=("NotInSync", "NoQuorum"), forced_at=1600.0)
    step = after_arbitration(before, "serve", None, Overruled(("NoQuorum", "PeerNewer"), 1700.0), same)
    assert step.record is not None
    assert step.record.forced == ("NotInSync", "NoQuorum", "PeerNewer")
    assert step.record.forced_at == 1700.0
    assert after_arbitration(before, "serve", None, Overruled((), 1700.0), same).record is None


def test_a_runtime_whose_role_does_not_change_ends_the_daemon() -> None:
    step = after_serving(SOURCE, None)
    assert (step.serves, step.record) == (False, None)


def test_a_change_of_role_is_recorded_before_the_daemon_goes_on() -> None:
    step = after_serving(SOURCE, as_target)
    assert (step.serves, step.record, step.abandons) == (True, TARGET, False)


def test_a_handover_does_not_outlive_the_daemon() -> None:
    heir = as_target(SOURCE, "beta", 7)
    assert served_with(heir, first=False) == heir
    first = served_with(heir, first=True)
    assert (first.heir, first.heir_epoch) == ("", 0)


def test_a_source_that_was_elected_again_records_its_ballot_before_it_serves() -> None:
    def elected(record: NodeMetadata) -> NodeMetadata:
        return msgspec.structs.replace(record, ballot=Ballot(3, "alpha"))

    assert after_arbitration(SOURCE, "serve", None, None, elected).record == elected(SOURCE)
    assert after_arbitration(SOURCE, "follow", None, None, elected).record == TARGET
