"""How a target ends: what it has is durable and recorded, and a store that fails now is no source's (R15)."""

from __future__ import annotations

from dkrepl.core.actions import Commit, Disconnect, Ended, FlushStore, SendAck, Settle
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.messages import Bye, Evict
from tests.unit.core.target.beta import DESCRIPTION, Beta, flush, marker, write
from tests.unit.greetings import welcome


def stopped() -> Beta:
    """Return beta, in sync, which is told to end; its flushes are ended by the test."""
    beta = Beta()
    beta.get_in_sync()
    beta.stream(write(1))
    beta.done.clear()
    beta.holds = True
    beta.core.stop()
    beta.perform()
    return beta


def last_flush(beta: Beta) -> int:
    """Return the number of the newest flush."""
    number: int = beta.asked_for(FlushStore)[-1].number
    return number


def test_it_settles_flushes_once_more_and_says_goodbye() -> None:
    beta = stopped()
    assert beta.asked_for(Disconnect)
    assert beta.asked_for(Settle) == [Settle(beta.core.metadata)]
    beta.core.ending.settled(None)
    beta.perform()
    assert not beta.sent(Bye)
    beta.core.store_flushed(last_flush(beta), beta.now)
    beta.perform()
    assert beta.sent(Bye) == [Bye("beta")]
    assert beta.done[-1] == Ended()


def test_it_is_told_to_stop_only_once() -> None:
    beta = stopped()
    beta.core.stop()
    assert beta.perform() == []


def test_it_takes_no_message_any_more() -> None:
    beta = stopped()
    assert beta.say(Evict(5, "WindowFull", "too slow", 1.0)) == []


def test_nothing_is_settled_before_the_commits_on_their_way_have_ended() -> None:
    beta = Beta()
    beta.holds = True
    beta.say(welcome(DESCRIPTION))
    [commit] = beta.asked_for(Commit)
    beta.core.stop()
    assert not beta.perform()
    beta.core.committed(commit.number, beta.now)
    beta.perform()
    assert beta.asked_for(Settle)


def test_a_flush_that_was_on_its_way_is_not_the_last_one() -> None:
    beta = Beta()
    beta.get_in_sync()
    beta.holds = True
    beta.stream(flush(1))
    earlier = last_flush(beta)
    beta.core.stop()
    beta.core.ending.settled(None)
    beta.core.store_flushed(earlier, beta.now)
    beta.perform()
    assert not beta.asked_for(Ended)
    assert last_flush(beta) > earlier


def test_what_could_not_be_recorded_at_the_end_is_reported_and_it_ends_all_the_same() -> None:
    beta = stopped()
    beta.core.ending.settled("no space left")
    beta.perform()
    assert "commit_failed" in beta.reported()
    beta.core.store_flushed(last_flush(beta), beta.now)
    beta.perform()
    assert beta.done[-1] == Ended()


def test_a_last_flush_that_fails_is_recorded_before_it_ends() -> None:
    beta = stopped()
    beta.core.ending.settled(None)
    beta.perform()
    beta.core.store_flush_failed(last_flush(beta), "Input/output error", beta.now)
    beta.perform()
    assert not beta.asked_for(Ended)
    commit = beta.asked_for(Commit)[-1]
    assert beta.recorded()[-1].store_state == "Inconsistent"
    beta.core.committed(commit.number, beta.now)
    beta.perform()
    assert beta.done[-1] == Ended(None, unsound=True)


def test_a_store_that_cannot_be_settled_is_recorded_too_and_if_not_that_is_said() -> None:
    beta = stopped()
    beta.core.ending.settled("Input/output error", store=True)
    beta.perform()
    beta.core.commit_failed(beta.asked_for(Commit)[-1].number, "no space left", beta.now)
    beta.perform()
    assert beta.done[-1] == Ended("no space left", unsound=True)


def test_a_store_that_fails_at_the_end_is_reported() -> None:
    beta = stopped()
    beta.core.ending.settled("Input/output error", store=True)
    beta.perform()
    assert "store_failed" in beta.reported()


def test_a_commit_that_fails_does_not_hold_up_the_end() -> None:
    beta = Beta()
    beta.holds = True
    beta.say(welcome(DESCRIPTION))
    [commit] = beta.asked_for(Commit)
    beta.core.stop()
    beta.core.commit_failed(commit.number, "no space left", beta.now)
    beta.perform()
    assert beta.asked_for(Settle)


def test_the_last_ack_is_repeated_in_case_it_was_lost() -> None:
    beta = stopped()
    beta.done.clear()
    beta.let_pass(DESCRIPTION.peer_timeout / 4)
    assert [action.ack.applied for action in beta.asked_for(SendAck)] == [1]


def test_one_that_follows_nobody_says_goodbye_to_nobody() -> None:
    beta = Beta()
    beta.core.stop()
    beta.core.ending.settled(None)
    beta.perform()
    assert beta.done[-1] == Ended()
    assert not beta.sent(Bye)


def test_a_resync_whose_end_was_being_recorded_has_not_ended() -> None:
    beta = Beta()
    beta.enter()
    beta.holds = True
    beta.stream(marker(frames.SYNCED, 1))
    beta.core.stop()
    beta.perform()
    assert beta.core.state == "Resyncing"


def test_a_candidate_that_stops_is_one_no_more() -> None:
    beta = Beta()
    beta.holds = True
    beta.core.voter.stand(beta.now)
    [commit] = [action for action in beta.perform() if isinstance(action, Commit)]
    beta.core.stop()
    beta.core.committed(commit.number, beta.now)
    assert beta.core.voter.stands is None
    assert [type(action) for action in beta.perform()] == [Settle]
