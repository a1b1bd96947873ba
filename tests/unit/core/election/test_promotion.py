"""What a promotion means: each fact alone, against a mirror in which nothing is wrong.

alpha was source and is silent; that it is fenced is given where the other facts are looked at. Who must answer without
that is what the tests of the quorum are about.
"""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from dkrepl.config.description import Description, parse
from dkrepl.config.example import render_example
from dkrepl.config.terms import required
from dkrepl.core.election.objections import lineage
from dkrepl.core.election.promotion import Assessment, assess
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Answer
from tests.unit.core.election.answers import G0, G1, G2, THREE, answer, mirror


def _description() -> Description:
    return parse(render_example(), "r0", {})


GAMMA = answer("gamma")


def judged(own: Answer | None = None, gamma: Answer | None = GAMMA, alpha: Answer | None = None) -> Assessment:
    own = own or answer("beta")
    return assess(_description(), own, {"alpha": alpha, "gamma": gamma}, fenced=("alpha",))


def of(found: Assessment, node: str) -> Any:
    return next(one for one in found.nodes if one.node == node)


def test_a_sync_target_that_was_in_sync_when_the_source_died_is_safe() -> None:
    found = judged(gamma=answer("gamma", in_sync_as_of=4990.0, applied=6, applied_bytes=600))
    assert (found.possible, found.safe, found.reasons, found.recommended) == (True, True, (), "beta")
    assert [(one.node, one.reachable) for one in found.nodes] == [("alpha", False), ("beta", True), ("gamma", True)]
    assert (of(found, "beta").lost_seconds, of(found, "beta").lost_bytes) == (0.0, 0)
    assert (of(found, "gamma").lost_seconds, of(found, "gamma").lost_bytes) == (10.0, 400)
    assert of(found, "gamma").overwritten_bytes == 0


def voting(said: Answer, candidate: str) -> Answer:
    return msgspec.structs.replace(said, vote=candidate)


WRONG: dict[str, tuple[dict[str, Any], bool, str]] = {
    "this node hears a source": ({"own": answer("beta", hears="alpha")}, False, "alpha is alive"),
    "a source answers": ({"alpha": answer("alpha", "source")}, False, "alpha is alive"),
    "a peer hears a source": ({"gamma": answer("gamma", hears="alpha")}, True, "gamma hears alpha"),
    "a peer was source": ({"alpha": answer("alpha", "arbitrating")}, True, "alpha was source"),
    "the copy is a mixture": ({"own": answer("beta", store_state="Inconsistent")}, True, "in the middle of a resync"),
    "not in sync": ({"own": answer("beta", in_sync_when_lost=False)}, True, "was not InSync"),
    "a peer votes for another": ({"gamma": voting(answer("gamma"), "alpha")}, True, "alpha may become source"),
    "this node votes for another": ({"own": voting(answer("beta"), "gamma")}, True, "gamma may become source"),
    "asynchronous": ({"own": answer("beta", mode="async")}, True, "beta is asynchronous"),
    "a newer generation": (
        {"gamma": answer("gamma", generation=G2, history=(G1, G0))},
        True,
        "gamma holds newer data (generation cccc",
    ),
    "another lineage": ({"gamma": answer("gamma", generation=G2)}, True, "split-brain"),
    "a first generation": ({"own": answer("beta", generation="", history=()), "gamma": answer("gamma")}, True, "newer"),
    "a peer heard it for longer": (
        {"gamma": answer("gamma", heard_at=5002.6)},
        True,
        "gamma heard the source for longer",
    ),
    "a former source alone": (
        {"own": answer("beta", "arbitrating"), "gamma": None},
        True,
        "gamma did not answer, and may have been promoted",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_one_thing_that_is_wrong_is_said_and_needs_force_or_forbids(what: str) -> None:
    nodes, possible, sentence = WRONG[what]
    found = judged(**nodes)
    assert (found.possible, found.safe) == (possible, False)
    assert len(found.reasons) == 1
    assert sentence in found.reasons[0]


HARMLESS: dict[str, dict[str, Any]] = {
    "a peer that lags": {"gamma": answer("gamma", applied=2, applied_bytes=200)},
    "a peer with writes that were never completed": {"gamma": answer("gamma", applied=12, applied_bytes=1200)},
    "a peer that has all and heard one more heartbeat": {
        "gamma": answer("gamma", in_sync_as_of=5001.0, heard_at=5001.0)
    },
    "a peer of an older generation": {"gamma": answer("gamma", generation=G0, history=(), session=6)},
    "a peer that heard one more heartbeat": {"gamma": answer("gamma", heard_at=5001.0)},
    "a peer that was told first of a generation": {
        "gamma": msgspec.structs.replace(answer("gamma", generation=G2, history=(G1, G0)), base=[G1, G2])
    },
    "a peer of another session": {"gamma": answer("gamma", session=8, heard_at=9000.0)},
    "a peer in the middle of a resync": {"gamma": answer("gamma", store_state="Inconsistent", in_sync_when_lost=False)},
    "the old source as a target": {"alpha": answer("alpha", session=0, in_sync_when_lost=False, in_sync_as_of=None)},
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_says_nothing_against_a_sync_copy_that_was_in_sync(what: str) -> None:
    found = judged(**HARMLESS[what])
    assert (found.safe, found.reasons, found.recommended) == (True, (), "beta")


def test_every_pair_of_wrong_things_is_unsafe_and_says_both() -> None:
    by_node: dict[str, list[str]] = {}
    for what, (nodes, _, _) in WRONG.items():
        if len(nodes) == 1:
            by_node.setdefault(next(iter(nodes)), []).append(what)
    for one, other in itertools.combinations(by_node, 2):
        for first, second in itertools.product(by_node[one], by_node[other]):
            found = judged(**WRONG[first][0], **WRONG[second][0])
            assert not found.safe, (first, second)
            assert found.possible == (WRONG[first][1] and WRONG[second][1]), (first, second)
            # If alpha answers as well, all have, and no one's word has to be taken (R11).
            both, of_its_word = {first, second}, {"not in sync", "a peer heard it for longer"}
            told = "a peer was source" not in both or not both & of_its_word
            if found.possible and told and "a former source alone" not in (first, second):
                assert len(found.reasons) == 2, (first, second, found.reasons)


def test_the_loss_of_an_async_target_is_counted_up_to_the_newest_write_that_anybody_heard_of() -> None:
    own = answer("beta", mode="async", applied=4, applied_bytes=400, head_bytes=900, in_sync_as_of=4993.5)
    alone = of(judged(own, gamma=None), "beta")
    assert (alone.lost_seconds, alone.lost_bytes) == (6.5, 500)
    assert of(judged(own, gamma=None), "alpha").overwritten_bytes == 500
    with_gamma = judged(own, gamma=answer("gamma", in_sync_as_of=4999.0, heard_at=5001.0, head_bytes=2000))
    assert (of(with_gamma, "beta").lost_seconds, of(with_gamma, "beta").lost_bytes) == (7.5, 1600)
    assert of(with_gamma, "gamma").overwritten_bytes == 600
    assert with_gamma.recommended == "gamma"


def test_a_target_that_was_out_of_the_stream_goes_by_what_the_source_told_it() -> None:
    own = answer("beta", in_sync_when_lost=False, missing_bytes=65536, in_sync_as_of=4000.0)
    found = of(judged(own), "beta")
    assert (found.lost_seconds, found.lost_bytes) == (1000.0, 65536)


def test_what_is_not_known_is_not_made_up() -> None:
    restarted = answer("beta", in_sync_when_lost=False, session=0, in_sync_as_of=None, heard_at=None)
    found = of(judged(restarted), "beta")
    assert (found.in_sync_as_of, found.lost_seconds, found.lost_bytes) == (None, None, None)
    mixture = answer("beta", store_state="Inconsistent", in_sync_when_lost=False)
    found = of(judged(mixture), "beta")
    assert (found.in_sync_as_of, found.lost_seconds, found.lost_bytes) == (None, None, None)
    behind = of(judged(gamma=answer("gamma", generation=G2, history=(G1,), session=8)), "beta")
    assert behind.lost_bytes is None


@pytest.mark.parametrize(
    ("gamma", "recommended"),
    [
        (answer("gamma", mode="sync"), "gamma"),
        (answer("gamma", in_sync_when_lost=False, applied_bytes=500), "gamma"),
        (answer("gamma", in_sync_when_lost=False, applied_bytes=300), "beta"),
        (answer("gamma", store_state="Inconsistent"), "beta"),
        (answer("gamma", generation=G2, history=(G1, G0), applied_bytes=100, session=8), "gamma"),
        (None, "beta"),
    ],
)
def test_the_node_that_loses_least_is_recommended(gamma: Answer | None, recommended: str) -> None:
    own = answer("beta", mode="async", applied_bytes=400)
    assert judged(own, gamma=gamma).recommended == recommended


def test_the_token_changes_with_what_the_figures_rest_on_and_not_with_time() -> None:
    token = judged(gamma=answer("gamma")).token
    assert len(token) == 8
    assert int(token, 16) >= 0
    later = answer("gamma", in_sync_as_of=5003.0, heard_at=5000.5, state="Behind")
    assert judged(gamma=later).token == token
    changes = [
        judged(gamma=None),
        judged(gamma=answer("gamma"), alpha=answer("alpha")),
        judged(gamma=answer("gamma"), alpha=answer("alpha", "arbitrating")),
        judged(gamma=answer("gamma", hears="alpha")),
        judged(gamma=answer("gamma", generation=G2)),
        judged(gamma=answer("gamma", store_state="Inconsistent")),
        judged(gamma=answer("gamma", applied=11)),
        judged(gamma=answer("gamma", session=8)),
        judged(answer("beta", in_sync_when_lost=False), gamma=answer("gamma")),
        judged(answer("beta", mode="async"), gamma=answer("gamma")),
        judged(answer("beta", head_bytes=2000), gamma=answer("gamma")),
        judged(answer("beta", missing_bytes=5), gamma=answer("gamma")),
    ]
    tokens = [found.token for found in changes]
    assert token not in tokens
    assert len(set(tokens)) == len(tokens)
    as_gamma = assess(_description(), answer("gamma"), {"beta": answer("beta"), "alpha": None})
    assert as_gamma.token != token


def test_the_token_is_good_although_a_source_that_a_peer_hears_goes_on() -> None:
    tokens = {judged(gamma=answer("gamma", hears="alpha", applied=n, head_bytes=n)).token for n in (1, 2)}
    assert len(tokens) == 1


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        ((G1, [G0]), (G1, [G0]), "same"),
        (("", []), ("", []), "same"),
        ((G1, [G0]), (G2, [G1, G0]), "newer"),
        (("", []), (G1, []), "newer"),
        ((G1, [G0]), (G0, []), "older"),
        ((G1, [G0]), ("", []), "older"),
        ((G1, [G0]), (G2, [G0]), "diverged"),
    ],
)
def test_whose_data_descends_from_whose(
    own: tuple[str, list[str]], other: tuple[str, list[str]], expected: str
) -> None:
    mine = msgspec.structs.replace(answer("beta"), generation=own[0], history=own[1])
    theirs = msgspec.structs.replace(answer("gamma"), generation=other[0], history=other[1])
    assert lineage(mine, theirs) == expected


# --- who must answer (R11) ------------------------------------------------------------------------------


def asked(description: Description, *there: str, own: Answer | None = None, **facts: Any) -> Assessment:
    """What a promotion of beta means while the nodes ``there`` answer."""
    own = own or answer("beta")
    peers = {node.name: answer(node.name, mode=node.mode) if node.name in there else None for node in description.nodes}
    del peers[own.node]
    return assess(description, own, peers, **facts)


@pytest.mark.parametrize(
    ("min_copies", "modes", "there", "safe"),
    [
        (1, {"alpha": "sync", "beta": "sync"}, (), False),
        (1, {"alpha": "sync", "beta": "sync"}, ("alpha",), True),
        (2, {"alpha": "sync", "beta": "sync"}, (), True),
        (1, THREE, ("gamma",), False),
        (1, THREE, ("alpha", "gamma"), True),
        (2, THREE, (), False),
        (2, THREE, ("gamma",), True),
        (2, THREE, ("alpha",), True),
        (3, THREE, (), True),
        (2, THREE | {"delta": "sync"}, ("gamma",), False),
        (2, THREE | {"delta": "sync"}, ("gamma", "delta"), True),
        (3, THREE | {"delta": "sync"}, ("gamma",), True),
        (2, THREE | {"delta": "async"}, ("gamma",), True),
        # The copy of an asynchronous source does not count: each write is on both beta and gamma.
        (2, {"alpha": "async", "beta": "sync", "gamma": "sync"}, (), True),
        (2, {"alpha": "async", "beta": "sync", "gamma": "sync"}, ("gamma",), True),
        # Where one copy is enough, an asynchronous node may have been made source, and have completed writes alone.
        (1, {"alpha": "sync", "beta": "sync", "delta": "async"}, ("alpha",), False),
        (1, {"alpha": "sync", "beta": "sync", "delta": "async"}, ("alpha", "delta"), True),
    ],
)
def test_all_but_min_copies_minus_one_of_the_nodes_that_may_hold_a_write_must_answer(
    min_copies: int, modes: dict[str, str], there: tuple[str, ...], safe: bool
) -> None:
    found = asked(mirror(min_copies, modes), *there)
    assert (found.safe, found.codes) == (safe, () if safe else ("NoQuorum",))
    assert (found.remedy is None) == safe


def test_who_did_not_answer_is_named_with_the_time_since_when_it_may_have_gone_on_alone() -> None:
    found = asked(mirror(1, {"alpha": "sync", "beta": "sync"}))
    [silent] = found.not_answered
    assert (silent.node, silent.decides, silent.fenced, silent.alone_since) == ("alpha", True, False, 5000.0)
    assert "--fenced alpha" in str(found.remedy)
    assert "1970-01-01 01:23:20 UTC" in str(found.remedy)


def test_a_declaration_that_the_source_is_fenced_stands_for_its_answer() -> None:
    two = mirror(1, {"alpha": "sync", "beta": "sync"})
    assert asked(two, fenced=("alpha",)).safe
    not_in_sync = answer("beta", in_sync_when_lost=False)
    assert asked(two, own=not_in_sync, fenced=("alpha",)).codes == ("NotInSync",)


def test_with_enough_answers_a_daemon_that_was_restarted_since_is_no_reason() -> None:
    restarted = answer("beta", in_sync_when_lost=False, session=0, in_sync_as_of=None, heard_at=None)
    assert asked(mirror(2, THREE), "gamma", own=restarted).safe


def test_a_node_that_was_initialised_anew_knows_nothing_and_its_answer_does_not_count() -> None:
    blank = msgspec.structs.replace(answer("gamma", generation="", history=()), mirror_id="")
    found = assess(mirror(2, THREE), answer("beta"), {"alpha": None, "gamma": blank})
    assert found.codes == ("NoQuorum",)
    assert "gamma: newly initialised, holds nothing" in found.reasons[0]


@pytest.mark.parametrize(
    ("code", "own"),
    [
        ("PowerLost", answer("beta", power_lost=True)),
        ("Asynchronous", answer("beta", last_mode="async")),
        ("StoreFailed", msgspec.structs.replace(answer("beta"), store_failed="cannot flush")),
        ("SplitBrain", msgspec.structs.replace(answer("beta"), split_brain=["alpha"])),
        ("HandingOver", msgspec.structs.replace(answer("beta"), next_source="gamma")),
        ("DescriptionsDiffer", msgspec.structs.replace(answer("beta"), agreed={"min_copies": "1"})),
    ],
)
def test_what_stands_against_a_copy_outlives_the_answers_of_others(code: str, own: Answer) -> None:
    assert asked(mirror(2, THREE), "gamma", own=own).codes == (code,)


def test_a_peer_that_goes_by_another_description_is_no_part_of_the_quorum() -> None:
    description = mirror(2, THREE)
    other = msgspec.structs.replace(answer("gamma"), terms=required(mirror(1, THREE)))
    found = assess(description, answer("beta"), {"alpha": None, "gamma": other})
    assert found.codes == ("DescriptionsDiffer",)
    assert "min_copies (2 here, 1 there)" in found.reasons[0]


@pytest.mark.parametrize(("next_source", "codes"), [("gamma", ("HandingOver",)), ("beta", ())])
def test_a_node_may_not_be_promoted_while_another_takes_over(next_source: str, codes: tuple[str, ...]) -> None:
    alpha = msgspec.structs.replace(answer("alpha"), next_source=next_source)
    found = assess(mirror(2, THREE), answer("beta"), {"alpha": alpha, "gamma": None})
    assert found.codes == codes


def test_nodes_that_lose_the_same_all_recommend_the_first_of_them() -> None:
    description = mirror(2, THREE)
    by_beta = asked(description, "gamma")
    by_gamma = asked(description, "beta", own=answer("gamma", mode="sync"))
    assert (by_beta.safe, by_beta.recommended) == (by_gamma.safe, by_gamma.recommended) == (True, "beta")


def test_without_a_vote_a_promotion_is_refused() -> None:
    """That a target answered is not enough: it may vote for another node a moment later (R11)."""
    description, ballot = mirror(1, {"alpha": "sync", "beta": "sync"}), Ballot(1, "beta")
    own = msgspec.structs.replace(answer("beta"), vote="beta")
    voted = msgspec.structs.replace(answer("alpha"), vote="beta", promised=[ballot])
    for said, codes in (
        (voted, ()),
        (answer("alpha"), ("NoVote",)),
        (msgspec.structs.replace(voted, promised=[Ballot(2, "gamma"), ballot]), ("NoVote",)),
    ):
        assert assess(description, own, {"alpha": said}, candidate=True, ballot=ballot).codes == codes
    assert assess(description, own, {"alpha": voted}, candidate=True).codes == ("NoVote",), "its own is not on record"


def test_another_former_source_has_no_vote() -> None:
    description, ballot = mirror(1, {"alpha": "sync", "beta": "sync"}), Ballot(1, "beta")
    own = msgspec.structs.replace(answer("beta", "arbitrating"), vote="beta")
    found = assess(description, own, {"alpha": answer("alpha", "arbitrating")}, candidate=True, ballot=ballot)
    assert found.codes == ("NoVote",)
    assert "alpha was source too" in found.reasons[0]


def test_a_node_that_never_followed_a_source_has_nothing_to_serve() -> None:
    own = msgspec.structs.replace(answer("beta", generation="", history=(), session=0), mirror_id="")
    found = judged(own, gamma=answer("gamma", generation="", history=(), session=0))
    assert "NotInSync" in found.codes
    assert any("beta has never followed a source" in reason for reason in found.reasons)


def test_a_split_brain_with_a_node_that_has_followed_since_is_none_any_more() -> None:
    own = msgspec.structs.replace(answer("beta"), split_brain=["gamma"])
    assert "SplitBrain" not in judged(own).codes
    apart = judged(own, gamma=answer("gamma", generation=G2))
    assert apart.codes.count("SplitBrain") >= 1


def test_all_reasons_that_apply_to_a_copy_are_listed() -> None:
    own = answer("beta", mode="async", store_state="Inconsistent", power_lost=True, in_sync_when_lost=False, session=0)
    assert judged(own).codes == ("Inconsistent", "Asynchronous", "PowerLost", "NotInSync")
    never = msgspec.structs.replace(own, mirror_id="")
    assert judged(never).codes.count("NotInSync") == 1


def test_all_reasons_that_apply_to_a_peer_are_listed() -> None:
    """It was source, has another description and had a third one, and holds newer data."""
    description = mirror(2, THREE)
    alpha = answer("alpha", "arbitrating", generation=G2, history=(G1, G0))
    alpha = msgspec.structs.replace(alpha, terms=required(mirror(1, THREE)), agreed=required(mirror(3, THREE)))
    found = assess(description, answer("beta", mode="sync"), {"alpha": alpha, "gamma": answer("gamma")})
    assert found.codes == ("DescriptionsDiffer", "DescriptionsDiffer", "PeerNewer", "SourceReturns")
    now, before = found.reasons[:2]
    assert "alpha has another description: min_copies (2 here, 1 there)" in now
    assert "alpha last served or followed under another description: min_copies (2 here, 3 there)" in before


def test_a_peer_of_a_split_brain_that_heard_the_source_for_longer_is_listed_as_both() -> None:
    assert judged(gamma=answer("gamma", generation=G2, heard_at=5002.6)).codes == ("SplitBrain", "PeerHeardLonger")


def test_targets_and_former_sources_that_did_not_vote_are_all_named() -> None:
    description, ballot = mirror(1, THREE), Ballot(1, "beta")
    own = msgspec.structs.replace(answer("beta", "arbitrating"), vote="beta")
    others = {"alpha": answer("alpha", "arbitrating"), "gamma": answer("gamma")}
    found = assess(description, own, others, candidate=True, ballot=ballot)
    assert found.codes == ("NoVote", "NoVote")
    assert found.reasons[0].startswith("gamma answered but did not vote for beta")
    assert found.reasons[1].startswith("alpha was source too")
