"""A node's candidacy lasts from the first of its promotions until the last of them is refused (R11)."""

from __future__ import annotations

from dkrepl.config.description import parse
from dkrepl.config.example import render_example
from dkrepl.core.actions import Send
from dkrepl.core.election.arbitration import Arbitration
from dkrepl.core.election.candidacy import Candidacy, Candidate, withdrawals
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Ask
from tests.unit.core.election.role import Role
from tests.unit.records import record


def test_it_stands_and_stands_again_in_the_same_promotion() -> None:
    role = Role()
    candidacy = Candidacy(role)
    assert candidacy.ballot is None
    candidacy.begin(0.0, force=False)
    candidacy.go_on(1.0, force=True)
    assert role.told == ["stand", "stand, by force"]
    assert candidacy.ballot == Ballot(1, "beta")


def test_it_goes_on_under_a_newer_ballot() -> None:
    candidacy = Candidacy(Role())
    candidacy.begin(0.0, force=False)
    candidacy.outbid(0.1, [Ballot(3, "gamma"), Ballot(2, "alpha")])
    assert candidacy.ballot == Ballot(4, "beta")


def test_the_votes_are_given_back_when_the_last_promotion_is_refused() -> None:
    role = Role()
    candidacy = Candidacy(role)
    candidacy.begin(0.0, force=False)
    candidacy.begin(0.1, force=False)
    candidacy.go_on(0.2, force=False)  # of the second: no third promotion
    assert candidacy.refused() is None, "the other one needs the votes"
    assert role.stands == Ballot(1, "beta")
    assert candidacy.refused() == Ballot(1, "beta")
    assert role.stands is None
    assert candidacy.refused() is None, "there is nothing left to give back"


def test_a_former_source_that_is_refused_keeps_asking_for_votes() -> None:
    role = Role(steadfast=True)
    candidacy = Candidacy(role)
    candidacy.begin(0.0, force=False)
    assert candidacy.refused() is None
    assert candidacy.ballot == Ballot(1, "beta")


def test_an_arbitration_stands_as_any_other_candidate() -> None:
    arbitration = Arbitration(parse(render_example(), "r0", {}), "alpha", record(ballot=Ballot(2, "beta")))
    role: Candidate = arbitration
    candidacy = Candidacy(role)
    candidacy.begin(1.0, force=False)
    assert candidacy.ballot is None, "not before that is on record"
    arbitration.committed(3)
    assert candidacy.ballot == Ballot(3, "alpha")
    candidacy.outbid(1.1, [Ballot(6, "gamma")])
    arbitration.committed(7)
    assert candidacy.refused() is None
    assert candidacy.ballot == Ballot(7, "alpha"), "it asks for votes by itself"


def test_a_withdrawal_names_the_ballot() -> None:
    withdrawn = Ask("beta", "r0", "m1", vote="withdrawn", number=9, ballot=4)
    sent = withdrawals(Ask("beta", "r0", "m1", number=9), ["alpha", "gamma"], Ballot(4, "beta"))
    assert sent == [Send("alpha", withdrawn), Send("gamma", withdrawn)]
