"""A target on its way out of a stream, and into one: what must stay as it is then; and what its source tells it."""

from __future__ import annotations

from typing import Any

import pytest

from dkrepl.config.limits import DEFAULT
from dkrepl.core.actions import Commit, Connect, Event, SaveDiverged
from dkrepl.core.lineage.metadata import PeerRecord
from dkrepl.core.lineage.peer_records import record_of
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.messages import Alive, Answer, Evict, Handover, Hello, Positions, Trouble
from tests.unit.core.target.beta import DESCRIPTION, EPOCH, SESSION, Beta, marker, message, write
from tests.unit.greetings import welcome


def welcomed(beta: Beta, peer: str, epoch: int = EPOCH) -> list[Any]:
    """Let it be welcomed by ``peer``; return what it does."""
    return beta.say(welcome(DESCRIPTION, epoch=epoch, source=peer), peer)


def connects(done: list[Any]) -> bool:
    return any(isinstance(action, Connect) for action in done)


def test_it_enters_the_stream_of_a_source_that_welcomes_it() -> None:
    assert connects(welcomed(Beta(), "alpha"))


def test_one_that_stops_enters_no_stream_any_more() -> None:
    beta = Beta()
    beta.core.stop()
    beta.perform()
    assert welcomed(beta, "alpha") == []
    assert beta.core.metadata.epoch == 0
    beta.let_pass(100.0)
    assert not beta.sent(Hello)


def test_one_that_stops_while_its_epoch_is_recorded_does_not_enter() -> None:
    beta = Beta()
    beta.holds = True
    [commit] = [action for action in welcomed(beta, "alpha") if isinstance(action, Commit)]
    beta.core.stop()
    beta.core.committed(commit.number, 1.0)
    assert not connects(beta.perform())
    assert not beta.core.peer_bitmaps.active


@pytest.mark.parametrize("source", ["alpha", "gamma"])
def test_what_was_saved_aside_counts_for_one_source_and_until_another_is_followed(source: str) -> None:
    """Else what it takes from that other one, and the first lacks, would be replaced and not saved."""
    beta = Beta(peers={"alpha": PeerRecord(saved=True, tracked=True), "gamma": PeerRecord(tracked=True)})
    beta.core.peer_bitmaps.bitmaps["alpha"].mark(3, 4)
    assert connects(welcomed(beta, source))
    assert record_of(beta.core.metadata, "alpha").saved == (source == "alpha")
    welcomed(beta, source)
    beta.let_pass(1000.0)
    saves = [action for action in welcomed(beta, "alpha", 6) if isinstance(action, SaveDiverged)]
    assert bool(saves) == (source == "gamma")


def test_what_its_state_does_not_allow_a_source_is_ignored_counted_and_reported() -> None:
    beta = Beta()
    assert not beta.core.following.fire("evicted", "its window is full")
    assert (beta.core.state, beta.core.following.messages_refused) == ("Disconnected", 1)
    [event] = [action for action in beta.perform() if isinstance(action, Event)]
    assert (event.name, event.level) == ("message_refused", "warning")


# --- what the other targets have (R8) -------------------------------------------------------------------------


def positions(generation: str = "g1", epoch: int = EPOCH) -> Positions:
    """Return what alpha says of gamma, which has everything."""
    return Positions(epoch=epoch, generation=generation, durable={"gamma": (4, 1, True)})


def in_sync_beside_gamma() -> Beta:
    """Return beta, in sync, with a write that is marked for gamma."""
    beta = Beta(peers={"gamma": PeerRecord(tracked=True)})
    beta.get_in_sync()
    beta.stream(write(1))
    return beta


def test_another_target_that_has_a_write_durable_is_recorded_as_in_sync() -> None:
    beta = in_sync_beside_gamma()
    beta.say(positions())
    gamma = record_of(beta.core.record.durable, "gamma")
    assert (gamma.epoch, gamma.base) == (4, ("g1",))
    commits = len(beta.asked_for(Commit))
    beta.say(positions())
    assert len(beta.asked_for(Commit)) == commits, "nothing new"


@pytest.mark.parametrize("stray", [positions(epoch=4), positions(generation="g0")])
def test_what_was_said_of_another_epoch_or_generation_counts_for_nothing(stray: Positions) -> None:
    beta = in_sync_beside_gamma()
    beta.say(stray)
    assert record_of(beta.core.metadata, "gamma").base == ()


def test_while_a_range_is_zeroed_no_block_is_unmarked() -> None:
    beta = in_sync_beside_gamma()
    beta.core.take(message(frames.LIVE, 2, 2, (frames.DISCARD, 4096, 0)), beta.now)
    beta.say(positions())
    assert record_of(beta.core.metadata, "gamma").base == ()


# --- other terms, a handover, votes (R7, R11, R14) ------------------------------------------------------------


def test_older_terms_are_forgotten_once_the_source_has_forgotten_them() -> None:
    beta = Beta()
    beta.enter(former=[{"min_copies": "2"}])
    beta.stream(marker(frames.SYNCED, 1))
    beta.say(Alive(epoch=EPOCH, session=SESSION, former=True))
    assert beta.core.record.durable.former
    beta.say(Alive(epoch=EPOCH, session=SESSION, former=False))
    assert not beta.core.record.durable.former


def handed_over(**facts: Any) -> Beta:
    """Return beta, to which alpha hands over."""
    beta = Beta(epoch=EPOCH, **facts)
    beta.say(Handover("alpha", EPOCH, "g1"))
    return beta


def test_an_heir_takes_over_if_it_is_what_it_was_when_it_left() -> None:
    assert handed_over().core.voter.inherits == "alpha"
    assert handed_over().core.voter.votes_for(1.0) == "beta"


@pytest.mark.parametrize("facts", [{"generation": "g2"}, {"store_state": "Inconsistent"}])
def test_an_heir_that_is_no_longer_so_does_not(facts: dict[str, Any]) -> None:
    assert handed_over(**facts).core.voter.inherits is None


def test_a_handover_is_offered_until_it_has_been_taken_up_or_for_a_while() -> None:
    beta = Beta(next_source="gamma", next_source_epoch=4)
    assert beta.core.offer(1.0).next_source == "gamma"
    assert beta.core.offer(DEFAULT.handover_seconds + 1).next_source == ""
    beta.say(welcome(DESCRIPTION, source="gamma"), "gamma")
    assert beta.core.offer(1.0).next_source == ""


def test_in_a_stream_neither_an_answer_nor_a_promotion_makes_it_a_candidate() -> None:
    beta = Beta()
    beta.enter()
    beta.core.voter.stand(beta.now)
    beta.core.voter.on_answer(
        Answer(node="gamma", mirror="r0", mirror_id="m1", role="target", generation="g1", history=[]), beta.now
    )
    assert beta.perform() == []
    assert beta.core.voter.votes_for(beta.now) == ""


# --- records that fail ---------------------------------------------------------------------------------------


def held(to_copy: int = 0) -> Beta:
    """Return beta in the stream, whose commits are ended by the test."""
    beta = Beta()
    beta.enter(to_copy)
    beta.holds = True
    return beta


def test_a_resync_whose_end_cannot_be_recorded_has_not_ended() -> None:
    beta = held()
    beta.stream(marker(frames.SYNCED, 1))
    beta.core.commit_failed(beta.asked_for(Commit)[-1].number, "Input/output error", beta.now, store=True)
    beta.perform()
    assert beta.core.state == "Behind"
    assert beta.core.metadata.store_state == "Inconsistent", "its store failed"
    assert [told.code for told in beta.sent(Trouble)] == ["StoreError"], "the source must not count this copy (R4)"


def test_a_resync_whose_end_is_recorded_after_the_stream_was_left_is_not_in_sync() -> None:
    beta = held()
    beta.stream(marker(frames.SYNCED, 1))
    beta.say(Evict(EPOCH, "WindowFull", "its window is full", 1.0))
    beta.core.committed(beta.asked_for(Commit)[-1].number, beta.now)
    assert beta.core.state == "Behind"


def test_a_verdict_on_the_store_that_could_not_be_recorded_is_recorded_later() -> None:
    beta = held()
    beta.core.stream.store_failed("Input/output error", beta.now)
    beta.perform()
    beta.core.commit_failed(beta.asked_for(Commit)[-1].number, "no space left", beta.now)
    beta.perform()
    beta.done.clear()
    beta.let_pass(DEFAULT.ask_again_seconds)
    assert [metadata.store_state for metadata in beta.recorded()] == ["Inconsistent"]


def test_of_two_records_on_their_way_the_newer_one_holds() -> None:
    beta = Beta()
    beta.holds = True
    first = beta.core.joining.yield_to("alpha", "keep")
    second = beta.core.joining.yield_to("gamma", "discard")
    beta.core.committed(first, beta.now)
    assert beta.core.metadata.yields_to == "gamma"
    beta.core.committed(second, beta.now)
    assert beta.core.metadata.yields_to == "gamma"
