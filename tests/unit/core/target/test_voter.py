"""A voter and a candidate do one thing at a time (R11)."""

from __future__ import annotations

from dkrepl.config.limits import DEFAULT
from dkrepl.core.election.vote import SECONDS
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Ask
from tests.unit.core.target.beta import Beta


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
