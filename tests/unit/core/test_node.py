"""Which role a node has and takes next, and what it records before that (R7, R15)."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from dkrepl.core.actions import Event
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.lineage.role_records import as_source, as_target
from dkrepl.core.node import (
    AbandonDevice,
    Begin,
    Change,
    Demotion,
    EndRole,
    Exit,
    GivingWay,
    HandingOver,
    Inheritance,
    Node,
    Outcome,
    Promotion,
    RoleEnded,
    Write,
)
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.errors import LocalProtocolError
from tests.unit.records import record

SOURCE = record()
TARGET = as_target(SOURCE)
BALLOT = Ballot(3, "alpha")
PROMOTION = Promotion(ballot=BALLOT, until=100.0, overruled=("NoQuorum",), at=1700.0, mirror_id="new")
FOLLOWS = Outcome(verdict="follow")


def done(node: Node) -> list[Any]:
    actions, node.actions[:] = list(node.actions), []
    return actions


def arbitrating() -> Node:
    node = Node()
    node.start(SOURCE)
    node.actions.clear()
    return node


def target() -> Node:
    node = Node()
    node.start(TARGET)
    node.actions.clear()
    return node


def source() -> Node:
    node = arbitrating()
    node.arbitrated(SOURCE, Outcome(verdict="serve"))
    node.actions.clear()
    return node


def ended(metadata: NodeMetadata, **facts: Any) -> RoleEnded:
    return RoleEnded(metadata=metadata, boot=50.0, **facts)


# --- start and arbitration -----------------------------------------------------------------------------------


def test_a_node_that_was_source_asks_its_peers_before_it_serves() -> None:
    node = Node()
    node.start(SOURCE)
    assert done(node) == [Begin("arbitrating", SOURCE)]


def test_a_target_serves_at_once() -> None:
    node = Node()
    node.start(TARGET)
    assert done(node) == [Begin("target", TARGET)]


def test_a_handover_does_not_outlive_the_daemon() -> None:
    node = Node()
    node.start(as_target(SOURCE, "beta", 7))
    [begin] = done(node)
    assert (begin.metadata.next_source, begin.metadata.next_source_epoch) == ("", 0)


def test_an_arbitration_that_was_stopped_ends_the_daemon_and_changes_nothing() -> None:
    node = arbitrating()
    node.stop()
    assert done(node) == [EndRole()]
    node.arbitrated(SOURCE, Outcome(verdict=None))
    assert done(node) == [Exit()]


def test_whoever_may_serve_keeps_its_record_and_its_device() -> None:
    node = arbitrating()
    node.arbitrated(SOURCE, Outcome(verdict="serve"))
    assert done(node) == [Begin("source", SOURCE)]


def test_a_node_that_finds_another_source_follows_it_and_gives_its_device_up() -> None:
    node = arbitrating()
    node.arbitrated(SOURCE, FOLLOWS)
    assert done(node) == [Write(TARGET), AbandonDevice(), Begin("target", TARGET)]


@pytest.mark.parametrize("verdict", [None, "serve", "follow"])
def test_a_change_of_role_that_was_ordered_comes_before_the_verdict(verdict: Any) -> None:
    node = arbitrating()
    assert node.order(GivingWay("beta", "keep"))
    assert done(node) == [EndRole()]
    node.arbitrated(SOURCE, Outcome(verdict=verdict))
    write, abandon, begin = done(node)
    assert write.metadata.yields_to == "beta"
    assert isinstance(abandon, AbandonDevice)
    assert begin.role == "target"


def test_what_a_promotion_by_force_overruled_is_recorded_before_it_serves() -> None:
    node = arbitrating()
    node.arbitrated(SOURCE, Outcome(verdict="serve", overruled=("NoQuorum",), at=1700.0))
    known = msgspec.structs.replace(SOURCE, forced=("NoQuorum",), forced_at=1700.0)
    assert done(node) == [Write(known), Begin("source", known)]


def test_what_was_overruled_before_stays_known() -> None:
    before = msgspec.structs.replace(SOURCE, forced=("NotInSync", "NoQuorum"), forced_at=1600.0)
    node = arbitrating()
    node.arbitrated(before, Outcome(verdict="serve", overruled=("NoQuorum", "PeerNewer"), at=1700.0))
    write, _ = done(node)
    assert write.metadata.forced == ("NotInSync", "NoQuorum", "PeerNewer")
    assert write.metadata.forced_at == 1700.0


def test_nothing_new_is_recorded_when_nothing_was_overruled() -> None:
    before = msgspec.structs.replace(SOURCE, forced=("NoQuorum",), forced_at=1600.0)
    node = arbitrating()
    node.arbitrated(before, Outcome(verdict="serve", at=1700.0))
    assert done(node) == [Begin("source", before)]


def test_a_source_that_was_elected_again_records_its_ballot_before_it_serves() -> None:
    node = arbitrating()
    node.arbitrated(SOURCE, Outcome(verdict="serve", ballot=BALLOT))
    elected = msgspec.structs.replace(SOURCE, ballot=BALLOT)
    assert done(node) == [Write(elected), Begin("source", elected)]


def test_a_ballot_is_of_no_use_to_a_node_that_follows() -> None:
    node = arbitrating()
    node.arbitrated(SOURCE, Outcome(verdict="follow", ballot=BALLOT))
    assert done(node)[0] == Write(TARGET)


# --- changes of role -----------------------------------------------------------------------------------------


def test_a_role_that_ends_by_itself_ends_the_daemon() -> None:
    node = source()
    node.stop()
    node.role_ended(ended(SOURCE))
    assert done(node) == [EndRole(), Exit()]
    assert node.state == "Ended"


CHANGES: list[tuple[Change, dict[str, Any], NodeMetadata]] = [
    (Demotion(), {}, TARGET),
    (HandingOver("beta"), {"drained": {"beta": 7}}, as_target(SOURCE, "beta", 7)),
    (GivingWay("beta", "discard"), {}, as_target(SOURCE, yields="discard", yields_to="beta")),
]


@pytest.mark.parametrize(("change", "facts", "record"), CHANGES)
def test_a_change_of_a_source_is_recorded_before_the_next_role_begins(
    change: Change, facts: dict[str, Any], record: NodeMetadata
) -> None:
    node = source()
    assert node.order(change)
    node.role_ended(ended(SOURCE, **facts))
    assert done(node) == [EndRole(), Write(record), Begin("target", record)]


def test_a_promoted_target_serves_under_its_ballot_and_remembers_what_was_overruled() -> None:
    node = target()
    assert node.order(PROMOTION)
    node.role_ended(ended(TARGET))
    record = as_source(TARGET, "new", BALLOT, ("NoQuorum",), 1700.0)
    assert done(node) == [EndRole(), Write(record), Begin("source", record)]


def test_a_promotion_by_force_without_a_recorded_ballot_takes_one_that_is_newer_than_all_it_knows() -> None:
    node = target()
    node.order(dataclasses.replace(PROMOTION, ballot=None))
    known = msgspec.structs.replace(TARGET, promised=(Ballot(8, "beta"),))
    node.role_ended(ended(known))
    assert done(node)[1].metadata.ballot == Ballot(9, "alpha")


def test_a_promotion_whose_votes_may_have_ended_fails_and_the_node_stays_a_target() -> None:
    node = target()
    node.order(PROMOTION)
    node.role_ended(RoleEnded(metadata=TARGET, boot=PROMOTION.until + 0.1))
    _, event, write, begin = done(node)
    assert isinstance(event, Event)
    assert event.name == "promotion_failed"
    assert (write.metadata, begin.role) == (TARGET, "target")


def test_whoever_inherits_serves_under_the_ballot_of_the_former_source() -> None:
    node = target()
    known = msgspec.structs.replace(TARGET, ballot=Ballot(2, "beta"))
    node.order(Inheritance("beta"))
    node.role_ended(ended(known))
    assert done(node)[1].metadata == as_source(known, "m1", Ballot(2, "beta"))


def test_a_source_stays_source_if_the_heir_did_not_get_everything() -> None:
    node = source()
    node.order(HandingOver("beta"))
    node.role_ended(ended(SOURCE, drained={"gamma": 4}))
    _, event, write, begin = done(node)
    assert (event.name, event.fields["to"]) == ("switchover_failed", "beta")
    assert (write.metadata, begin.role) == (SOURCE, "source")


def test_a_failed_flush_that_could_not_be_recorded_is_recorded_with_the_new_role() -> None:
    node = source()
    node.order(Demotion())
    node.role_ended(ended(SOURCE, store_failed="EIO"))
    _, write, _ = done(node)
    assert (write.metadata.store_failed, write.metadata.store_state) == ("EIO", "Inconsistent")


def test_a_target_whose_last_flush_failed_does_not_become_source() -> None:
    node = target()
    node.order(PROMOTION)
    unsound = msgspec.structs.replace(TARGET, store_state="Inconsistent")
    node.role_ended(ended(unsound, unsound=True))
    assert done(node) == [EndRole(), Write(unsound), Begin("target", unsound)]


def test_a_daemon_that_is_stopped_while_its_role_changes_records_the_change_and_ends() -> None:
    node = source()
    node.order(Demotion())
    node.stop()
    node.role_ended(ended(SOURCE))
    assert done(node) == [EndRole(), Write(TARGET), Exit()]


def test_one_change_at_a_time() -> None:
    node = source()
    assert node.order(Demotion())
    assert not node.order(HandingOver("beta"))
    assert node.change == Demotion()


@pytest.mark.parametrize(
    ("node", "change"),
    [(source(), PROMOTION), (source(), Inheritance("beta")), (target(), Demotion()), (target(), HandingOver("beta"))],
)
def test_a_change_that_does_not_fit_the_role_is_our_own_mistake(node: Node, change: Change) -> None:
    with pytest.raises(LocalProtocolError):
        node.order(change)


def test_a_node_starts_once() -> None:
    node = target()
    with pytest.raises(LocalProtocolError):
        node.start(TARGET)
