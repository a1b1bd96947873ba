"""A target votes for one candidate at a time, and follows no other source until its vote ends (R11)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dkrepl.config.description import parse
from dkrepl.config.example import render_example
from dkrepl.config.terms import required
from dkrepl.core.actions import Commit, Connect, Send
from dkrepl.core.election.vote import SECONDS, without_promise
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Alive, Ask, Handover, Hello
from dkrepl.core.target.target import Target
from tests.unit.greetings import answer, welcome
from tests.unit.records import MemoryStore, bitmap, record

DESCRIPTION = parse(render_example(), "r0", {})
BLOCKS, PER_EXTENT = DESCRIPTION.size // DESCRIPTION.block, DESCRIPTION.extent // DESCRIPTION.block
NOW = 1000.0
OLD, ELECTED = Ballot(), Ballot(1, "gamma")  # of alpha, the source from the first, and of gamma, which is elected


def beta(began: float = 0.0, **facts: Any) -> Target:
    shape: dict[str, Any] = {"size": DESCRIPTION.size, "block": DESCRIPTION.block, "extent": DESCRIPTION.extent}
    beta = record(**{"node": "beta", "role": "target", "generation": "g1"} | shape | facts)
    bitmaps = {name: bitmap(DESCRIPTION) for name in ("alpha", "gamma")}
    return Target(DESCRIPTION, "beta", beta, bitmaps=bitmaps, software="x", store=MemoryStore(), began=began)


def asked(target: Target, candidate: str, now: float, vote: Any = "wanted", ballot: int = 1) -> str:
    return target.voter.on_ask(Ask(candidate, "r0", "m1", vote, ballot=ballot), now)


def commit(target: Target, now: float) -> None:
    """Make what the target wants to record durable."""
    numbers = [action.number for action in target.actions if isinstance(action, Commit)]
    target.actions.clear()
    for number in numbers:
        target.committed(number, now)


def voting(candidate: str = "gamma") -> Target:
    target = beta()
    asked(target, candidate, NOW)
    commit(target, NOW)
    assert target.voter.votes_for(NOW) == candidate
    return target


def is_welcomed(target: Target, source: str, now: float, ballot: Ballot = OLD) -> bool:
    """Let a source welcome it; return whether it follows."""
    terms = required(DESCRIPTION)
    found = welcome(DESCRIPTION, source=source, terms=terms, ballot=ballot)
    target.on_message(source, found, now)
    commits = [action for action in target.actions if isinstance(action, Commit)]
    for action in commits:
        target.committed(action.number, now)
    return any(isinstance(action, Connect) for action in target.actions)


def hellos(target: Target) -> list[str]:
    return [action.peer for action in target.actions if isinstance(action, Send) and isinstance(action.message, Hello)]


def test_a_vote_counts_once_it_is_recorded() -> None:
    target = beta()
    assert asked(target, "gamma", NOW) == ""
    assert target.metadata.promised == (ELECTED,)
    commit(target, NOW + 0.1)
    assert asked(target, "gamma", NOW + 0.1) == "gamma"


def test_one_that_only_looks_gets_no_vote() -> None:
    target = beta()
    assert asked(target, "gamma", NOW, "") == ""
    assert not target.actions


def test_of_two_candidates_the_first_has_the_vote_until_it_ends() -> None:
    target = voting("gamma")
    assert asked(target, "alpha", NOW + SECONDS - 0.1) == "gamma"
    asked(target, "alpha", NOW + SECONDS, ballot=2)
    commit(target, NOW + SECONDS)
    assert target.voter.votes_for(NOW + SECONDS) == "alpha"


def test_a_candidate_that_withdraws_leaves_the_vote_to_another() -> None:
    target = voting("gamma")
    assert asked(target, "gamma", NOW, "withdrawn") == ""
    commit(target, NOW)
    assert target.metadata.promised == ()
    asked(target, "alpha", NOW)
    commit(target, NOW)
    assert target.voter.votes_for(NOW) == "alpha"


def test_a_vote_is_remembered_over_a_restart() -> None:
    target = beta(NOW, promised=(ELECTED,))
    assert asked(target, "alpha", NOW + 1.0) == "gamma"
    assert target.voter.votes_for(NOW + SECONDS) == ""


def test_it_follows_nobody_but_the_one_that_it_voted_for() -> None:
    target = voting("gamma")
    target.tick(NOW + 1.0, stalled=0.0)
    assert hellos(target) == ["gamma"]
    assert not is_welcomed(target, "alpha", NOW + 1.0)
    assert is_welcomed(target, "gamma", NOW + 1.0, ELECTED)
    assert target.voter.votes_for(NOW + 1.0) == ""


def test_it_does_not_go_back_to_the_old_source_when_its_vote_has_ended() -> None:
    """The one that was elected counts on its voters: else two sources could have two copies each."""
    target = voting("gamma")
    later = NOW + 2 * SECONDS
    assert not is_welcomed(target, "alpha", later)
    assert (target.state, target.following.source.refusal) == ("Refused", "Elected")
    assert "dkrepl resolve --keep alpha on beta" in str(target.following.reason)


@pytest.mark.parametrize(
    ("ballot", "follows"),
    [(Ballot(), False), (Ballot(1, "beta"), False), (Ballot(1, "gamma"), True), (Ballot(2), True)],
)
def test_it_follows_the_source_of_its_ballot_or_a_newer_one(ballot: Ballot, follows: bool) -> None:
    """Of a newer one also if another node was elected under it, or took over from the one that was."""
    target = voting("gamma")
    assert is_welcomed(target, "alpha", NOW + SECONDS, ballot) == follows
    assert target.metadata.ballot == (ballot if follows else OLD)


@pytest.mark.parametrize("release", ["was never elected", "votes anew", "resolved"])
def test_what_lets_it_go_back_to_the_old_source(release: str) -> None:
    target = voting("gamma")
    later = NOW + 2 * SECONDS
    ballot = OLD
    target.tick(later, stalled=0.0)
    [question] = [a.message for a in target.actions if isinstance(a, Send) and isinstance(a.message, Ask)]
    if release == "was never elected":
        said = answer(node="gamma", number=question.number, stood=1)
        target.voter.on_answer(msgspec.structs.replace(said, number=question.number - 1), later)
        assert not is_welcomed(target, "alpha", later), "it was an answer to an older question"
        target.voter.on_answer(said, later)
    elif release == "votes anew":
        ballot = Ballot(2, "alpha")
        asked(target, "alpha", later, ballot=2)
    else:
        target.joining.yield_to("alpha", "keep")
    commit(target, later)
    assert is_welcomed(target, "alpha", later, ballot)


@pytest.mark.parametrize(
    "facts",
    [
        {"stood": 0},  # it was initialised anew, and knows nothing
        {"vote": "gamma"},  # it asks for votes
        {"role": "arbitrating"},
        {"ballot": ELECTED},  # it was source, and is not any more
        {"role": "source", "ballot": ELECTED},
        {"ballot": Ballot(2, "alpha")},  # or may have been: it follows one that was elected after it
    ],
)
def test_nothing_else_that_the_elected_node_says_lets_it_go_back(facts: dict[str, Any]) -> None:
    target = voting("gamma")
    later = NOW + 2 * SECONDS
    target.tick(later, stalled=0.0)
    [question] = [a.message for a in target.actions if isinstance(a, Send) and isinstance(a.message, Ask)]
    target.voter.on_answer(answer(**{"node": "gamma", "number": question.number, "stood": 1} | facts), later)
    commit(target, later)
    assert not is_welcomed(target, "alpha", later)


def test_a_request_or_a_withdrawal_of_an_earlier_ballot_changes_nothing() -> None:
    """It may have been on its way for as long as the kernel kept the connection of a daemon that is gone."""
    target = voting("gamma")
    later = NOW + 2 * SECONDS
    asked(target, "gamma", later, ballot=3)
    commit(target, later)
    asked(target, "gamma", later, "withdrawn", ballot=1)
    asked(target, "alpha", later + SECONDS, ballot=2)
    commit(target, later + SECONDS)
    assert target.metadata.promised[0] == Ballot(3, "gamma")
    assert not is_welcomed(target, "alpha", later + SECONDS, Ballot(2, "alpha"))


def test_a_vote_under_a_newer_ballot_counts_once_that_is_recorded() -> None:
    target = voting("gamma")
    assert asked(target, "gamma", NOW + 1.0, ballot=2) == ""
    commit(target, NOW + 1.0)
    assert asked(target, "gamma", NOW + 1.0, ballot=2) == "gamma"


def test_a_candidate_has_its_ballot_once_that_is_recorded_and_none_twice() -> None:
    target = beta(promised=(Ballot(4, "alpha"),), stood=2)
    target.voter.stand(NOW)
    assert target.voter.stands is None
    commit(target, NOW)
    assert target.voter.stands == Ballot(5, "beta")
    target.voter.outbid(NOW, [Ballot(6, "gamma")])
    assert target.voter.stands is None
    commit(target, NOW)
    assert target.voter.stands == Ballot(7, "beta")
    target.voter.stand(NOW)
    assert target.voter.stands == Ballot(7, "beta"), "another promotion of this node is under way"
    target.voter.stand_down()
    target.voter.stand(NOW)
    commit(target, NOW)
    assert target.voter.stands == Ballot(8, "beta")


def test_a_vote_that_is_withdrawn_while_it_is_recorded_does_not_count() -> None:
    target = beta()
    asked(target, "gamma", NOW)
    asked(target, "gamma", NOW, "withdrawn")
    commit(target, NOW)
    assert target.voter.votes_for(NOW) == ""


def test_while_it_hears_a_source_it_votes_for_nobody() -> None:
    target = beta()
    assert is_welcomed(target, "alpha", NOW)
    target.actions.clear()
    assert asked(target, "gamma", NOW + 1.0) == ""
    assert not target.actions


def test_one_that_is_to_be_source_votes_for_itself_and_follows_nobody() -> None:
    target = beta()
    target.voter.stand(NOW)
    commit(target, NOW)
    assert asked(target, "gamma", NOW + 1.0) == "beta"
    assert not is_welcomed(target, "alpha", NOW + 1.0)
    target.tick(NOW + 1.0, stalled=0.0)
    assert hellos(target) == []
    target.voter.stand_down()
    assert is_welcomed(target, "alpha", NOW + 1.0)


def test_one_that_votes_for_another_is_source_only_by_force() -> None:
    target = voting("gamma")
    target.voter.stand(NOW)
    assert target.voter.votes_for(NOW) == "gamma"
    target.voter.stand(NOW, force=True)
    assert target.voter.votes_for(NOW) == "beta"


def test_an_heir_that_has_voted_for_another_does_not_take_over() -> None:
    target = voting("gamma")
    target.on_message("alpha", Handover("alpha", 0, "g1"), NOW + 1.0)
    assert target.voter.inherits is None
    target.on_message("alpha", Handover("alpha", 0, "g1"), NOW + SECONDS)
    assert target.voter.inherits is None, "gamma may be source"
    target.record.metadata = without_promise(target.metadata, ELECTED)  # it has answered that it was never elected
    target.on_message("alpha", Handover("alpha", 0, "g1"), NOW + SECONDS)
    assert target.voter.inherits == "alpha"
    assert asked(target, "gamma", NOW + SECONDS) == "beta"


def test_a_vote_that_cannot_be_recorded_does_not_count() -> None:
    target = beta()
    asked(target, "gamma", NOW)
    [action] = [action for action in target.actions if isinstance(action, Commit)]
    target.commit_failed(action.number, "No space left on device", NOW)
    assert target.voter.votes_for(NOW) == ""
    assert target.metadata.promised == ()
    assert target.state == "Disconnected", "its copy is as good as before"


def test_a_heartbeat_of_the_old_source_does_not_win_a_voter_back() -> None:
    target = beta()
    assert is_welcomed(target, "alpha", NOW)
    target.actions.clear()
    late = NOW + DESCRIPTION.peer_timeout * 0.6  # no longer heard, and not yet given up
    asked(target, "gamma", late)
    commit(target, late)
    assert target.voter.votes_for(late) == "gamma"
    assert target.source is None
    target.on_message("alpha", Alive(epoch=5, session=7, state="InSync"), late)
    assert target.source is None


def test_one_that_has_made_too_many_promises_makes_no_more() -> None:
    """It must not forget any of them: each may have made a node source."""
    made = tuple(Ballot(number, "gamma") for number in range(16, 0, -1))
    target = beta(promised=made)
    assert asked(target, "alpha", NOW, ballot=17) == ""
    commit(target, NOW)
    assert target.metadata.promised == made
    target = beta(promised=made[1:])
    asked(target, "alpha", NOW, ballot=17)
    commit(target, NOW)
    assert target.voter.votes_for(NOW) == "alpha"


def test_a_ballot_by_force_is_newer_than_any_that_the_node_may_have_missed() -> None:
    target = beta()
    target.voter.stand(NOW, force=True)
    commit(target, NOW)
    assert target.voter.stands is not None
    assert target.voter.stands > Ballot(1000, "alpha")


def test_what_an_administrator_said_of_another_source_is_void_once_it_votes_for_a_new_one() -> None:
    target = beta(yields="discard", yields_to="alpha")
    asked(target, "gamma", NOW)
    commit(target, NOW)
    assert (target.metadata.yields, target.metadata.yields_to) == ("", "")
