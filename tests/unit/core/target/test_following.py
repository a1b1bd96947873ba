"""How a target leaves its source, and what it remembers of it (R4, R10)."""

from __future__ import annotations

from typing import Any

import pytest

from dkrepl.config.limits import DEFAULT
from dkrepl.core.actions import Disconnect, Event
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.messages import Alive, Bye, Evict, Hello, Refuse, Trouble
from tests.unit.core.target.beta import DESCRIPTION, Beta, marker, write
from tests.unit.greetings import welcome


def test_an_eviction_without_a_source_changes_nothing_and_is_counted() -> None:
    beta = Beta()
    beta.core.following.leave("evicted", "too slow", beta.now, 0.0)
    beta.perform()
    assert beta.core.state == "Disconnected"
    assert beta.core.following.messages_refused == 1
    assert "message_refused" in beta.reported()


def test_a_source_that_is_lost_twice_was_in_sync_all_the_same() -> None:
    beta = Beta()
    beta.get_in_sync()
    for _ in range(2):
        beta.core.following.leave("source lost", "nothing heard", beta.now, 0.0)
    assert beta.core.copy(beta.now).in_sync_when_lost


def test_what_cannot_be_recorded_is_told_to_nobody_if_there_is_no_source() -> None:
    beta = Beta()
    number = beta.core.joining.yield_to("alpha", "keep")
    beta.core.actions.clear()
    beta.core.commit_failed(number, "no space left", beta.now)
    beta.perform()
    assert (beta.core.state, beta.core.following.reason) == ("Behind", "no space left")
    assert not beta.sent(Trouble)


def test_a_source_that_stops_is_lost_at_once_and_asked_again_soon() -> None:
    beta = Beta()
    beta.get_in_sync()
    beta.say(Bye("alpha"))
    assert (beta.core.state, beta.core.following.reason) == ("Disconnected", "alpha was stopped")
    beta.let_pass(DEFAULT.hello_first_seconds)
    assert beta.sent(Hello)


def test_a_restarted_source_is_another_one() -> None:
    beta = Beta()
    beta.get_in_sync()
    beta.say(Alive(epoch=5, session=8))
    assert (beta.core.state, beta.core.following.reason) == ("Disconnected", "the source was restarted")


def test_one_whose_source_stops_asks_often_as_it_may_be_restarting() -> None:
    beta = Beta()
    beta.get_in_sync()
    beta.say(Bye("alpha"))
    for _ in range(40):
        beta.let_pass(0.05)
    assert len(beta.sent(Hello)) >= 1.5 / DEFAULT.hello_restart_seconds


def test_one_whose_stream_breaks_subscribes_to_nothing_any_more() -> None:
    beta = gave_up()
    assert beta.asked_for(Disconnect)


def test_a_new_welcome_ends_the_subscription_of_an_earlier_one() -> None:
    beta = Beta()
    beta.say(welcome(DESCRIPTION))
    beta.holds = True
    beta.say(welcome(DESCRIPTION, epoch=6))
    assert beta.asked_for(Disconnect)


def copy_after_a_break(word: Any) -> Any:
    """Return what beta says of its copy: its stream broke while it was in sync, and then alpha said ``word``."""
    beta = Beta()
    beta.get_in_sync()
    beta.core.stream.disconnected(beta.now)
    beta.say(word)
    return beta.core.copy(beta.now)


def test_a_source_that_lives_on_after_a_break_may_answer_writes_without_this_node() -> None:
    assert not copy_after_a_break(Alive(epoch=0, session=7, state="Behind")).in_sync_when_lost


@pytest.mark.parametrize("word", [Bye("alpha"), Alive(epoch=5, session=7, state="InSync")])
def test_a_source_that_still_counted_on_this_node_after_a_break_has_answered_nothing_without_it(word: Any) -> None:
    assert copy_after_a_break(word).in_sync_when_lost


# --- reported -----------------------------------------------------------------------------------------------


def states(beta: Beta) -> list[tuple[object, str]]:
    """Return the states that it has reported, each with its level."""
    events = [event for event in beta.asked_for(Event) if event.name == "target_state"]
    return [(event.fields["after"], event.level) for event in events]


def test_each_change_of_its_state_is_reported_and_a_bad_one_as_a_warning() -> None:
    beta = gave_up()
    assert states(beta) == [("Connecting", "info"), ("Resyncing", "info"), ("InSync", "info"), ("Behind", "warning")]


def test_a_state_that_stays_is_not_reported_again() -> None:
    beta = Beta()
    for _ in range(2):
        beta.say(Refuse("Paused", "beta is paused", "alpha"))
    assert states(beta) == [("Paused", "info")]


# --- evicted ------------------------------------------------------------------------------------------------


def test_one_that_is_evicted_says_hello_after_the_time_that_it_was_given() -> None:
    beta = Beta()
    beta.get_in_sync()
    beta.say(Evict(5, "WindowFull", "its window is full", 3.0))
    assert (beta.core.state, beta.core.following.reason) == ("Behind", "its window is full")
    beta.let_pass(2.0)
    assert not beta.sent(Hello)
    beta.let_pass(1.5)
    assert beta.sent(Hello)


def test_one_that_is_paused_leaves_the_stream() -> None:
    beta = Beta()
    beta.get_in_sync()
    beta.say(Evict(5, "Paused", "paused by the administrator"))
    assert beta.core.state == "Paused"
    assert not beta.core.following.in_stream


def test_an_eviction_of_an_earlier_epoch_is_ignored() -> None:
    beta = Beta()
    beta.get_in_sync()
    beta.say(Evict(4, "WindowFull", "its window is full"))
    assert beta.core.state == "InSync"


def gave_up() -> Beta:
    """Return beta, which has left the stream because a write was missing."""
    beta = Beta()
    beta.get_in_sync()
    beta.stream(write(3))
    assert beta.core.state == "Behind"
    return beta


def test_one_that_gave_up_waits_as_long_as_the_source_says() -> None:
    beta = gave_up()
    beta.say(Evict(5, "Trouble", "it reported a gap", 4.0))
    beta.let_pass(2.0)
    assert not beta.sent(Hello)
    beta.let_pass(2.5)
    assert beta.sent(Hello)


def test_one_that_is_behind_comes_back_at_once_when_a_resync_is_asked_for() -> None:
    beta = gave_up()
    beta.say(Evict(0, "Trouble", "it reported a gap", 30.0))
    beta.say(Evict(9, "Resync", "a resync was asked for", 0.1))
    beta.let_pass(0.2)
    assert beta.sent(Hello)


# --- what the source says of the resync ----------------------------------------------------------------------


def test_the_progress_of_a_resync_is_known_until_it_has_ended() -> None:
    beta = Beta()
    beta.enter(to_copy=3)
    progress = Alive(epoch=5, session=7, state="Resyncing", dirty_bytes=4096, total_bytes=8192)
    beta.say(progress)
    assert beta.core.following.source.resync == progress
    beta.stream(marker(frames.SYNCED, 1))
    assert beta.core.following.source.resync is None


def test_silence_ends_the_session() -> None:
    beta = Beta()
    beta.get_in_sync()
    beta.let_pass(DESCRIPTION.peer_timeout + 0.1)
    assert beta.core.state == "Disconnected"
    assert beta.core.following.session == 0
