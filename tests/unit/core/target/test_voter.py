"""A voter and a candidate do one thing at a time (R11)."""

from __future__ import annotations

from dkrepl.config.limits import DEFAULT
from dkrepl.core.election.vote import SECONDS
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Ask, Handover
from tests.unit.core.target.beta import EPOCH, Beta


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
