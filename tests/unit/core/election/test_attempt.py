"""What one ``promote`` asks its peers, how often, and when it knows enough (R11)."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import msgspec
import pytest

from dkrepl.config.description import parse
from dkrepl.config.example import render_example
from dkrepl.config.limits import DEFAULT
from dkrepl.core.election.attempt import Attempt
from dkrepl.core.election.candidacy import Candidacy
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Answer, Ask, Copy
from tests.unit.core.election.role import OWN, Role

DESCRIPTION = parse(render_example(), "r0", {})
PEERS = [peer.name for peer in DESCRIPTION.peers("beta")]
TIMES = round(DEFAULT.poll_answer_seconds / DEFAULT.poll_again_seconds)


class Slow(Role):
    """A role whose record takes a while: it stands once ``recorded``."""

    def stand(self, now: float, force: bool = False) -> None:
        self.told.append("stand")

    def recorded(self) -> None:
        self.stands = Ballot(1, "beta")


def begun(role: Role | None = None, *, votes: bool = True, force: bool = False) -> Attempt:
    """A promotion of beta that has just begun, and asked once."""
    attempt = Attempt(
        Candidacy(role or Role()),
        DESCRIPTION,
        lambda: OWN,
        itertools.count(1 << 32),
        votes=votes,
        force=force,
        limits=DEFAULT,
    )
    attempt.begin(0.0)
    attempt.go_on(0.0)
    return attempt


def asked(attempt: Attempt) -> dict[str, Ask]:
    """Who is asked what now."""
    sent = {action.peer: action.message for action in attempt.actions}
    attempt.actions.clear()
    return {peer: message for peer, message in sent.items() if isinstance(message, Ask)}


def said(attempt: Attempt, node: str, **fields: Any) -> Answer:
    """What a target answers now: by itself it votes for beta."""
    ballot = attempt.poll.ballot
    found = msgspec.structs.replace(
        OWN,
        node=node,
        number=attempt.poll.ask.number,
        vote="" if ballot is None else "beta",
        promised=[] if ballot is None else [ballot],
    )
    return msgspec.structs.replace(found, **fields)


def test_a_dry_run_asks_for_no_votes() -> None:
    role = Role()
    attempt = begun(role, votes=False)
    questions = asked(attempt)
    assert list(questions) == PEERS
    assert {ask.vote for ask in questions.values()} == {""}
    assert role.told == []
    assert attempt.on_answer(said(attempt, "alpha")) is False
    assert attempt.on_answer(said(attempt, "gamma")) is True, "all have answered"
    attempt.end_poll(0.1)
    assert attempt.found is not None
    assert attempt.ballot is None


def test_a_candidate_asks_for_votes_under_its_ballot() -> None:
    attempt = begun()
    assert {(ask.vote, ask.ballot) for ask in asked(attempt).values()} == {("wanted", 1)}
    assert not attempt.on_answer(said(attempt, "alpha"))
    assert attempt.on_answer(said(attempt, "gamma"))
    attempt.end_poll(0.1)
    assert attempt.ballot == Ballot(1, "beta")
    assert attempt.found is not None
    assert "NoVote" not in attempt.found.codes


def test_until_its_ballot_is_on_record_it_only_asks_what_the_peers_hold() -> None:
    role = Slow()
    attempt = begun(role)
    assert {ask.vote for ask in asked(attempt).values()} == {""}
    assert role.told == ["stand", "stand"], "it tries again, for what kept it from standing may have passed"
    for peer in PEERS:
        assert not attempt.on_answer(said(attempt, peer)), "the vote is missing"
    role.recorded()
    attempt.ask(0.05)
    assert {(ask.vote, ask.ballot) for ask in asked(attempt).values()} == {("wanted", 1)}


def test_by_force_it_stands_by_force() -> None:
    role = Role()
    begun(role, force=True)
    assert role.told == ["stand, by force"]


def test_only_those_are_asked_again_that_have_not_answered_or_not_voted() -> None:
    attempt = begun()
    asked(attempt)
    attempt.on_answer(said(attempt, "alpha"))
    attempt.on_answer(said(attempt, "gamma", vote="", promised=[]))
    attempt.go_on(0.1)
    assert list(asked(attempt)) == ["gamma"]
    attempt.on_answer(said(attempt, "gamma", vote="alpha", promised=[]))
    attempt.go_on(0.2)
    assert asked(attempt) == {}, "it has voted for another node, and cannot vote now"


@pytest.mark.parametrize("fields", [{"number": 7}, {"node": "delta"}, {"mirror": "r1"}, {"mirror_id": "m2"}])
def test_what_answers_another_question_counts_as_no_answer(fields: dict[str, Any]) -> None:
    attempt = begun(votes=False)
    attempt.on_answer(said(attempt, "gamma"))
    assert not attempt.on_answer(msgspec.structs.replace(said(attempt, "alpha"), **fields))
    assert attempt.poll.answers["alpha"] is None
    assert attempt.on_answer(said(attempt, "alpha", mirror_id="")), "one that was initialised anew has no identity yet"


def test_who_is_silent_is_asked_for_a_while_and_then_counts_as_not_reachable() -> None:
    attempt = begun(votes=False)
    for _ in range(TIMES - 1):
        assert attempt.found is None
        attempt.actions.clear()
        attempt.go_on(0.1)
        assert list(asked(attempt)) == PEERS
    attempt.go_on(1.0)
    assert asked(attempt) == {}
    assert attempt.found is not None
    assert [one.node for one in attempt.found.not_answered] == PEERS


def test_a_newer_ballot_is_outbid_and_the_votes_of_the_old_one_are_given_back() -> None:
    role = Role()
    attempt = begun(role)
    asked(attempt)
    first = attempt.poll
    attempt.on_answer(said(attempt, "alpha"))
    assert attempt.on_answer(said(attempt, "gamma", vote="", promised=[Ballot(5, "alpha")])), "it cannot vote now"
    attempt.end_poll(0.1)
    assert attempt.found is None
    assert {(ask.vote, ask.ballot) for ask in asked(attempt).values()} == {("withdrawn", 1)}
    assert attempt.poll is not first
    attempt.go_on(0.1)
    assert {(ask.vote, ask.ballot) for ask in asked(attempt).values()} == {("wanted", 6)}
    assert not attempt.on_answer(said(attempt, "alpha", number=first.ask.number)), "an answer to the old question"
    attempt.on_answer(said(attempt, "alpha"))
    assert attempt.on_answer(said(attempt, "gamma"))
    attempt.end_poll(0.2)
    assert attempt.ballot == Ballot(6, "beta")


def test_after_so_many_ballots_it_gives_up() -> None:
    role = Role()
    attempt = begun(role)
    for number in itertools.count(5, 10):
        attempt.on_answer(said(attempt, "gamma", vote="", promised=[Ballot(number, "alpha")]))
        attempt.end_poll(0.1)
        if attempt.found is not None:
            break
    assert role.told.count("outbid") == DEFAULT.poll_ballots - 1
    assert attempt.found is not None
    assert "NoQuorum" in attempt.found.codes


@pytest.mark.parametrize("role", ["source", "arbitrating"])
def test_a_source_is_not_waited_for(role: Literal["source", "arbitrating"]) -> None:
    """It votes for nobody; a target that hears a source does not, either."""
    attempt = begun()
    attempt.on_answer(said(attempt, "alpha", role=role, vote="", promised=[]))
    assert attempt.on_answer(said(attempt, "gamma", vote="", promised=[], copy=Copy(hears="alpha")))
