"""What a former source says while it waits, in the singular and in the plural, and what it advises."""

from __future__ import annotations

import pytest

from dkrepl.core.election.contention import Contention
from dkrepl.core.election.waiting_reason import Waiting, waiting_reason

HEAD = "it was source, and first asks its peers whether another node was promoted: "


@pytest.mark.parametrize(
    ("waiting", "said"),
    [
        (Waiting(node="alpha"), "every peer has answered"),
        (Waiting(node="alpha", silent=["beta"]), "waiting for beta, without a time limit (start_alone)"),
        (Waiting(node="alpha", silent=["beta", "gamma"], patience=60.0), "waiting for beta, gamma, for 60 s at most"),
    ],
)
def test_for_whom_it_waits_and_how_long(waiting: Waiting, said: str) -> None:
    assert waiting_reason(waiting) == HEAD + said


@pytest.mark.parametrize(
    ("waiting", "said"),
    [
        (
            Waiting(node="alpha", hearing={"gamma": "beta"}),
            "gamma follows beta, which may acknowledge writes: reconnect beta to this node, which then follows it",
        ),
        (
            Waiting(node="alpha", hearing={"gamma": "beta", "delta": "epsilon"}),
            "gamma follows beta, delta follows epsilon, which may acknowledge writes: reconnect beta, epsilon to this "
            "node, which then follows the one that was elected last",
        ),
        (
            Waiting(node="alpha", withheld={"gamma", "beta"}, left={"beta": "gamma"}),
            "beta, gamma did not vote for this node: check that the state directory there can be written",
        ),
        (
            Waiting(node="alpha", left={"gamma": "beta"}),
            "gamma has voted for beta, or followed it, since this node was elected, so beta may be source: start beta, "
            "or promote this node if beta is off for good",
        ),
        (
            Waiting(node="alpha", left={"gamma": "beta", "epsilon": "delta"}),
            "epsilon has voted for delta, or followed it, gamma has voted for beta, or followed it, since this node "
            "was elected, so beta, delta may be source: start beta, delta, or promote this node if beta, delta are off "
            "for good",
        ),
        (Waiting(node="alpha", rivals=["beta"]), "beta asks for votes too, and has some: they end within 15 s"),
        (
            Waiting(node="alpha", rivals=["gamma", "beta"]),
            "beta, gamma ask for votes too, and have some: they end within 15 s",
        ),
    ],
)
def test_why_the_answers_are_not_enough(waiting: Waiting, said: str) -> None:
    assert waiting_reason(waiting) == f"{HEAD}every peer has answered; {said}"


def told(**contenders: Contention) -> list[str]:
    _, *sentences = waiting_reason(Waiting(node="alpha", contenders=contenders)).split("; ")
    return sentences


def test_former_sources_that_wait_too_are_named_together() -> None:
    assert told(beta="asks") == ["beta was source too, and also waits: promote the node that is to serve"]
    assert told(beta="asks", gamma="asks") == [
        "beta, gamma were source too, and also wait: promote the node that is to serve"
    ]


def test_each_target_that_has_diverged_is_named() -> None:
    one, other = told(beta="diverged", gamma="diverged")
    assert one.startswith("beta holds writes that this node lacks, and this node holds writes that beta lacks")
    assert other.endswith("or run dkrepl resolve --keep alpha on gamma")


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("source", "and beta holds nothing that this node lacks: demote beta"),
        ("newer source", "and may hold more: run dkrepl resolve --keep beta on alpha"),
        ("diverged source", "and run dkrepl resolve --keep beta on alpha, or the other way round"),
    ],
)
def test_what_to_do_about_a_source_that_was_elected_before_depends_on_what_it_holds(
    kind: Contention, advice: str
) -> None:
    [sentence] = told(beta=kind)
    assert sentence.startswith("beta is source, but this node was elected after it")
    assert sentence.endswith(advice)


def test_what_can_be_done_only_without_a_source_is_not_advised_beside_one() -> None:
    [sentence] = told(beta="diverged source", gamma="diverged", delta="asks")
    assert sentence.startswith("beta is source")
