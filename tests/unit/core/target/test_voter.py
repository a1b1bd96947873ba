"""A voter and a candidate do one thing at a time (R11)."""

from __future__ import annotations

from dkrepl.config.limits import DEFAULT
from dkrepl.core.election.vote import SECONDS
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Ask, Handover
from tests.unit.core.target.beta import DESCRIPTION, EPOCH, Beta
from tests.unit.greetings import answer, welcome

SERVING = {"node": "alpha", "role": "source", "ballot": Ballot(1, "alpha"), "stood": 2, "number": 1}


def test_one_whose_vote_has_ended_asks_what_became_of_it_but_not_while_it_records_something() -> None:
    beta = Beta(promised=(Ballot(1, "gamma"),))
    beta.holds = True
    number = beta.core.joining.yield_to("gamma", "keep")
    beta.let_pass(SECONDS + 1)
    assert not beta.sent(Ask, "gamma")
    beta.core.committed(number, beta.now)
    beta.let_pass(DEFAULT.ask_again_seconds)
    assert len(beta.sent(Ask, "gamma")) == 1


def test_a_candidate_whose_vote_has_ended_takes_no_other_ballot() -> None:
    beta = Beta()
    beta.core.voter.stand(beta.now)
    beta.perform()
    standing = beta.core.voter.stands
    beta.now += SECONDS + 1
    beta.core.voter.outbid(beta.now, [Ballot(9, "gamma")])
    assert beta.perform() == []
    assert beta.core.voter.stands == standing


def test_one_that_cannot_take_a_handover_because_of_its_vote_says_for_whom_that_was() -> None:
    beta = Beta(epoch=EPOCH, promised=(Ballot(1, "gamma"),))
    beta.say(Handover("alpha", EPOCH, "g1"))
    assert "which has voted for gamma" in str(beta.core.following.reason)


def test_one_that_follows_a_source_shows_no_reason_why_it_could_not_take_a_handover() -> None:
    beta = Beta(epoch=EPOCH - 1)
    beta.get_in_sync()
    reason = beta.core.following.reason
    beta.say(Handover("alpha", EPOCH, "g1"))
    assert beta.core.following.reason == reason


def offered_by_its_candidate() -> Beta:
    """Return beta, which has just voted for alpha under ballot 2, and to which alpha offers its copy under ballot 1."""
    beta = Beta(promised=(Ballot(2, "alpha"),), ballot=Ballot(1, "alpha"))
    beta.say(welcome(DESCRIPTION, ballot=Ballot(1, "alpha")))
    beta.let_pass(0.1)
    return beta


def test_a_candidate_that_serves_under_an_older_ballot_is_asked_at_once_and_its_promise_ends() -> None:
    """It asked for votes, was restarted, and served without them: the vote must not keep this node from it."""
    beta = offered_by_its_candidate()
    assert beta.state() == "Refused"
    assert len(beta.sent(Ask)) == 1
    beta.core.voter.on_answer(answer(**SERVING), beta.now)
    beta.perform()
    assert beta.core.metadata.promised == ()
    assert beta.core.voter.votes_for(beta.now) == ""
    beta.say(welcome(DESCRIPTION, ballot=Ballot(1, "alpha"), epoch=6))
    assert beta.state() == "Connecting"


def test_but_one_that_may_still_be_elected_is_not_believed_before_its_vote_has_ended() -> None:
    beta = offered_by_its_candidate()
    beta.core.voter.on_answer(answer(**SERVING | {"role": "target"}), beta.now)
    assert not beta.perform()
    assert beta.core.voter.votes_for(beta.now) == "alpha"


def test_nor_is_anybody_asked_at_once_who_offers_nothing() -> None:
    beta = Beta(promised=(Ballot(2, "alpha"),))
    beta.let_pass(0.1)
    beta.say(welcome(DESCRIPTION), "gamma")
    beta.let_pass(0.1)
    assert not [one for one in beta.done if isinstance(getattr(one, "message", None), Ask)]


def test_a_new_vote_for_it_holds_as_long_as_any() -> None:
    beta = offered_by_its_candidate()
    assert beta.core.voter.on_ask(Ask("alpha", "r0", "m1", vote="wanted", ballot=3), beta.now) == ""
    beta.perform()
    assert beta.core.voter.votes_for(beta.now) == "alpha"
    beta.let_pass(DEFAULT.ask_again_seconds)
    assert len(beta.sent(Ask)) == 1
