"""A node that was source asks its peers whether it may serve (R7): of two such nodes at most one may by itself."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dkrepl.config.description import Description, parse
from dkrepl.config.example import render_example
from dkrepl.config.limits import DEFAULT
from dkrepl.config.terms import required
from dkrepl.core.actions import Commit, Event, Send
from dkrepl.core.election.arbitration import Arbitration
from dkrepl.core.lineage.metadata import PeerRecord
from dkrepl.core.lineage.role_records import as_follower, as_source
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Answer, Ask, Copy
from tests.unit import greetings
from tests.unit.records import record

QUICK = DEFAULT.quick_seconds
ALPHA = record(history=("g2", "g1"), peers={"beta": PeerRecord(generations=("g3",), base=("g3",), tracked=True)})


def answer(
    node: str, role: str = "target", generation: str = "g3", history: tuple[str, ...] = (), **more: object
) -> Answer:
    """What a peer says; a target votes for the node that asks."""
    said = "alpha" if role == "target" else ""
    return greetings.answer(
        **{"node": node, "role": role, "generation": generation, "history": list(history), "vote": said} | more
    )


def described(min_copies: int = 1, alone: float | None = None) -> Description:
    """Return the description; ``alone``: its start_alone."""
    return msgspec.structs.replace(parse(render_example(), "r0", {}), start_alone=alone, min_copies=min_copies)


def asking(alone: float | None = None, age: float | None = None, min_copies: int = 1, **changes: object) -> Arbitration:
    """A former source; ``age``: of its predecessor's last sign of life."""
    description = described(min_copies, alone)
    arbitration = Arbitration(description, "alpha", msgspec.structs.replace(ALPHA, **changes), age)
    arbitration.tick(0.0)
    return arbitration


def question(arbitration: Arbitration) -> int:
    """Return the number of its newest question."""
    asked = [action.message for action in arbitration.actions if isinstance(action, Send)]
    return max(ask.number for ask in asked if isinstance(ask, Ask))


def recorded(arbitration: Arbitration) -> None:
    """What it wants to record is durable."""
    for action in [action for action in arbitration.actions if isinstance(action, Commit)]:
        arbitration.actions.remove(action)
        arbitration.committed(action.number)


def verdict(arbitration: Arbitration, *answers: Answer) -> str | None:
    """Let peers answer, and once more if it has begun to ask for votes."""
    for _ in range(2):
        recorded(arbitration)
        for one in answers:
            promised = [arbitration.stands] if arbitration.stands is not None and one.vote == "alpha" else one.promised
            arbitration.on_answer(msgspec.structs.replace(one, number=question(arbitration), promised=promised))
    return arbitration.verdict


GAMMA = answer("gamma", generation="g2")


@pytest.mark.parametrize(
    ("beta", "expected"),
    [
        (answer("beta"), "serve"),
        (answer("beta", generation="g1"), "serve"),
        (answer("beta", "source"), "follow"),
        (answer("beta", generation="g4", history=("g3",)), "follow"),
        (answer("beta", "arbitrating", "g4", ("g3",)), "follow"),
        # Its history is too short to name our generation, but what it keeps for us does.
        (answer("beta", generation="h9", history=("h8",), base=["g3"]), "follow"),
        (answer("beta", generation="h9", history=("h8",), base=["g3", "h9"]), "serve"),
        # Each has completed writes without the other: neither serves until an administrator says which one is to.
        (answer("beta", generation="h4", history=("g2",)), None),
        (answer("beta", generation="h4", history=("g2",), yields_to="alpha"), "serve"),
        (answer("beta", generation="h4", history=("g2",), yields_to="gamma"), None),
        (answer("beta", "arbitrating", "h4", ("g2",)), None),
        (answer("beta", "arbitrating", "g3"), None),
        (answer("beta", "arbitrating", "g2"), "serve"),
    ],
)
def test_what_a_former_source_does_after_the_last_answer(beta: Answer, expected: str | None) -> None:
    assert verdict(asking(), GAMMA, beta) == expected


def test_with_fewer_votes_than_copies_of_a_write_it_does_not_serve() -> None:
    """Else the others could elect another node at the same time (R11)."""
    arbitration = asking(min_copies=3)
    terms = required(described(3))
    for votes in ("", "beta"):
        answers = answer("gamma", vote="alpha", terms=terms), answer("beta", vote=votes, terms=terms)
        assert verdict(arbitration, *answers) is None
    before = len(arbitration.actions)
    arbitration.tick(0.1)
    asked = [action.message for action in arbitration.actions[before:] if isinstance(action, Send)]
    assert [ask.vote for ask in asked if isinstance(ask, Ask)] == ["wanted", "wanted"]
    assert arbitration.vote == "alpha"
    assert "beta asks for votes too" in arbitration.reason
    assert verdict(arbitration, answer("beta", vote="alpha", terms=terms)) == "serve"


def test_a_target_that_cannot_vote_keeps_nobody_from_serving_who_has_votes_enough() -> None:
    arbitration = asking(min_copies=2)
    assert verdict(arbitration, answer("gamma", vote=""), answer("beta", vote="alpha")) == "serve"


def test_an_answer_to_a_question_of_long_ago_does_not_count() -> None:
    """Its vote may have gone to another node since, while this one's loop stood still."""
    arbitration = asking(min_copies=3)
    verdict(arbitration, answer("gamma"))
    number = question(arbitration)
    arbitration.advance(30.0)
    assert arbitration.missing == ["beta", "gamma"]
    arbitration.on_answer(answer("beta", number=number))
    arbitration.on_answer(answer("gamma", number=number))
    assert arbitration.verdict is None


def test_it_needs_no_votes_while_no_other_can_have_been_promoted() -> None:
    arbitration = asking(age=1.0)
    assert verdict(arbitration, answer("gamma", vote=""), answer("beta", vote="")) == "serve"


def test_a_target_that_diverged_is_named_until_one_of_the_two_gives_way() -> None:
    arbitration = asking(alone=60.0)
    for now in (30.0, 61.0, 90.0):
        arbitration.tick(now)
        assert verdict(arbitration, GAMMA, answer("beta", generation="h4", history=("g2",))) is None
    assert "beta holds writes that this node lacks" in arbitration.reason
    assert "dkrepl resolve --keep alpha" in arbitration.reason


@pytest.mark.parametrize("generation", ["g3", "h4"])
def test_two_former_sources_that_ask_each_other_wait_for_the_administrator(generation: str) -> None:
    arbitration, other = asking(alone=60.0), answer("beta", "arbitrating", generation, ("g2",))
    for now in (30.0, 61.0, 90.0):
        arbitration.tick(now)
        assert verdict(arbitration, GAMMA, other) is None
    assert "beta was source too" in arbitration.reason
    assert verdict(arbitration, answer("beta", "source", generation, ("g2",))) == "follow"


def test_one_to_whom_the_device_was_handed_over_a_moment_ago_serves_all_the_same() -> None:
    arbitration = asking(age=1.0)
    assert verdict(arbitration, answer("beta", "arbitrating", "h4", ("g2",))) is None
    arbitration.tick(QUICK)
    assert arbitration.verdict == "serve"


@pytest.mark.parametrize("age", [None, 4.6, 100.0])
def test_without_a_sign_of_life_within_the_peer_timeout_it_waits(age: float | None) -> None:
    arbitration = asking(age=age)
    for now in (QUICK, 1.0, 60.0, 3600.0):
        arbitration.tick(now)
    assert arbitration.verdict is None
    assert "without a time limit (start_alone)" in arbitration.reason


def test_the_moment_in_which_no_other_can_have_been_promoted_passes() -> None:
    arbitration = asking(age=4.0)
    arbitration.tick(1.1)  # its loop got to it too late
    arbitration.tick(2.0)
    assert arbitration.verdict is None


def enough(**changes: object) -> Arbitration:
    arbitration = asking(min_copies=2)
    terms = required(described(2))
    for _ in range(2):
        verdict(arbitration, msgspec.structs.replace(answer("beta", terms=terms), **changes))
        arbitration.tick(QUICK)
    return arbitration


def test_with_a_quorum_of_two_one_silent_node_cannot_have_completed_a_write() -> None:
    assert enough().verdict == "serve"
    assert asking(min_copies=2).verdict is None


@pytest.mark.parametrize(
    "changes",
    [
        {"copy": Copy(hears="gamma")},
        {"terms": {"min_copies": "1"}},
        {"mirror_id": "", "generation": ""},
    ],
    ids=["hears another source", "goes by another description", "was initialised anew"],
)
def test_an_answer_that_tells_nothing_of_the_silent_node_does_not_count(changes: dict[str, object]) -> None:
    assert enough(**changes).verdict is None


def test_an_answer_of_long_ago_does_not_count_for_its_node_may_have_been_promoted_since() -> None:
    arbitration = asking()
    assert verdict(arbitration, answer("beta")) is None
    for now in (10.0, 20.0, 30.0):
        arbitration.tick(now)
    assert verdict(arbitration, GAMMA) is None
    assert verdict(arbitration, answer("beta", "source")) == "follow"


def test_a_source_whose_data_was_there_before_follows_whoever_was_promoted_before_the_first_write() -> None:
    arbitration = asking(generation="", history=(), peers={})
    assert verdict(arbitration, answer("beta", generation="g1")) == "follow"
    record = msgspec.structs.replace(ALPHA, generation="", history=(), peers={})
    assert as_follower(record).mirror_id == "m1"
    assert as_follower(msgspec.structs.replace(record, store_state="Empty")).mirror_id == ""


def test_who_becomes_source_follows_nobody() -> None:
    assert (
        as_source(msgspec.structs.replace(ALPHA, role="target", follows="beta"), "m1", Ballot(1, "alpha")).follows == ""
    )


def test_a_source_that_was_elected_before_is_not_followed() -> None:
    """It may lack what was completed since; nor does this node serve beside it until it is demoted."""
    arbitration = asking(ballot=Ballot(5, "alpha"))
    assert verdict(arbitration, GAMMA, answer("beta", "source", ballot=Ballot(4, "beta"))) is None
    assert "demote beta" in arbitration.reason
    assert verdict(asking(), answer("beta", "source", ballot=Ballot(4, "beta"))) == "follow"


def test_it_asks_under_a_ballot_newer_than_any_it_has_heard_of() -> None:
    arbitration = asking(min_copies=2)
    verdict(arbitration, answer("beta", promised=[Ballot(3, "gamma")], vote="", terms=required(described(2))))
    arbitration.tick(QUICK)
    assert arbitration.stands is None, "not before that is on record"
    recorded(arbitration)
    assert arbitration.stands == Ballot(4, "alpha")
    verdict(arbitration, answer("beta", promised=[Ballot(6, "gamma")], vote="", terms=required(described(2))))
    arbitration.tick(2 * QUICK)
    recorded(arbitration)
    assert arbitration.stands == Ballot(7, "alpha")


def test_it_serves_under_the_ballot_by_which_it_was_elected() -> None:
    arbitration = enough()
    assert arbitration.elected == Ballot(1, "alpha")
    quick = asking(age=1.0)
    assert verdict(quick, GAMMA, answer("beta", vote="")) == "serve"
    assert quick.elected is None, "no other can have been promoted, so it needed no votes"


def test_of_two_former_sources_the_one_that_was_elected_later_need_not_wait() -> None:
    elected: dict[str, Any] = {"ballot": Ballot(5, "alpha")}
    assert verdict(asking(**elected), GAMMA, answer("beta", "arbitrating", ballot=Ballot(4, "beta"))) == "serve"
    assert verdict(asking(**elected), GAMMA, answer("beta", "arbitrating", ballot=Ballot(6, "beta"))) is None
    apart = answer("beta", "arbitrating", "h4", ("g2",), ballot=Ballot(4, "beta"))
    assert verdict(asking(**elected), GAMMA, apart) is None, "it has completed writes that this node lacks"


def test_its_own_vote_is_not_enough_if_an_answer_tells_of_another_candidate() -> None:
    """That may have been promoted although this node was silent: an administrator declared it fenced."""
    assert verdict(asking(), GAMMA, answer("beta", vote="beta")) is None


def test_what_cannot_be_recorded_is_tried_again_after_a_while() -> None:
    arbitration = asking(min_copies=2)
    terms = required(described(2))
    arbitration.on_answer(answer("beta", vote="", terms=terms, number=question(arbitration)))
    for now in (QUICK, QUICK + 0.2, QUICK + 0.4):
        arbitration.tick(now)
        for action in [action for action in arbitration.actions if isinstance(action, Commit)]:
            assert now == QUICK, "not at once"
            arbitration.actions.remove(action)
            arbitration.commit_failed(action.number)
    assert arbitration.stands is None
    arbitration.tick(QUICK + 1.1)
    recorded(arbitration)
    assert arbitration.stands == Ballot(2, "alpha")


@pytest.mark.parametrize(("number", "expected"), [(2, None), (1, "serve")])
def test_beside_a_former_source_that_was_elected_later_it_waits_even_if_that_holds_older_data(
    number: int, expected: str | None
) -> None:
    """The administrator promoted it and accepted the loss: which of the two is to serve, only they know."""
    beta = answer("beta", "arbitrating", "g2", ballot=Ballot(number, "beta"))
    arbitration = asking(alone=1.0, ballot=Ballot(1, "gamma"))
    assert verdict(arbitration, GAMMA, beta) == expected
    arbitration.tick(1.0)
    assert arbitration.verdict == expected
    assert ("beta was source too" in arbitration.reason) is (expected is None)


def test_if_it_serves_for_want_of_votes_it_does_not_blame_silent_peers() -> None:
    arbitration = asking(alone=1.0)
    assert verdict(arbitration, GAMMA, answer("beta", vote="gamma")) is None
    arbitration.tick(1.0)
    assert arbitration.verdict == "serve"
    assert arbitration.reason == "every peer has answered, but it did not get the votes that it needs within 1 s"


@pytest.mark.parametrize(("peer", "level"), [(answer("beta", vote="gamma"), "warning"), (answer("beta"), "info")])
def test_serving_without_enough_votes_is_reported_as_a_warning(peer: Answer, level: str) -> None:
    arbitration = asking(alone=1.0)
    verdict(arbitration, GAMMA, peer)
    arbitration.tick(1.0)
    [event] = [action for action in arbitration.actions if isinstance(action, Event)]
    assert (event.fields["outcome"], event.fields["not_answered"], event.level) == ("serve", None, level)


def blank() -> Arbitration:
    """A node that was initialised anew, as the description's first source."""
    return asking(generation="", history=(), store_state="Empty", mirror_id="m2")


def test_a_node_that_was_initialised_anew_follows_whoever_has_data_of_its_mirror() -> None:
    arbitration = blank()
    assert verdict(arbitration, answer("beta")) == "follow"
    assert "beta holds the mirror's data already" in arbitration.reason


def test_it_needs_no_votes_if_nobody_has() -> None:
    others = [answer(node, generation="", mirror_id="") for node in ("beta", "gamma")]
    assert verdict(blank(), *others) == "serve"


def test_a_node_of_another_mirror_has_not_answered() -> None:
    arbitration = asking()
    assert verdict(arbitration, GAMMA, answer("beta", "source", mirror_id="m2")) is None
    assert arbitration.missing == ["beta"]


def test_one_that_is_promoted_while_it_waits_serves_under_the_ballot_of_that_promotion() -> None:
    arbitration = asking()
    arbitration.insist(Ballot(9, "alpha"))
    assert (arbitration.verdict, arbitration.elected) == ("serve", Ballot(9, "alpha"))


def test_the_word_of_the_administrator_comes_too_late_for_one_that_follows() -> None:
    arbitration = asking()
    verdict(arbitration, answer("beta", "source"))
    arbitration.insist(Ballot(9, "alpha"))
    assert (arbitration.verdict, arbitration.elected) == ("follow", None)


def test_an_answer_by_terms_under_which_fewer_copies_were_enough_does_not_make_a_silent_node_harmless() -> None:
    """Copies of before may have answered a write under them (R14)."""
    arbitration = asking(min_copies=2)
    terms = required(described(2))
    recorded(arbitration)
    verdict(arbitration, answer("gamma", terms=terms, agreed=terms | {"min_copies": "1"}))
    arbitration.tick(QUICK)
    assert verdict(arbitration) is None


def test_an_older_ballot_that_could_not_be_recorded_does_not_end_a_newer_candidacy() -> None:
    arbitration = asking()
    arbitration.stand(0.0)
    arbitration.outbid(0.0, [Ballot(7, "beta")])
    older, newer = [action for action in arbitration.actions if isinstance(action, Commit)]
    arbitration.commit_failed(older.number)
    arbitration.committed(newer.number)
    assert arbitration.vote == "alpha"
    assert arbitration.stands == Ballot(8, "alpha")
