"""The token of a dry run stands for all that the administrator has accepted, and for nothing that goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from dkrepl.config.description import Description
from dkrepl.config.terms import required
from dkrepl.core.election.promotion import Assessment, assess
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Answer, Copy
from tests.unit.core.election.answers import G0, G1, G2, THREE, answer, mirror

QUORUM, ONE = mirror(2, THREE), mirror(1, THREE)
OTHER_TERMS = required(ONE) | {"size": "2GiB"}


def gamma(**facts: Any) -> Answer:
    return answer("gamma", **({"mode": "sync"} | facts))


class Situation:
    """alpha was source and is silent; beta is asked to be promoted, and gamma answers."""

    def __init__(
        self, description: Description, own: Answer, peer: Answer | None, fenced: tuple[str, ...] = ()
    ) -> None:
        self.description = description
        self.nodes = {"own": own, "peer": peer}
        self.fenced = fenced

    def judged(self, **nodes: Answer) -> Assessment:
        told = self.nodes | nodes
        own, peer = told["own"], told["peer"]
        assert own is not None
        return assess(self.description, own, {"alpha": None, "gamma": peer}, self.fenced)

    def with_facts(self, who: str, **facts: Any) -> Assessment | None:
        said = self.nodes[who]
        if said is None or (said.copy is None and facts.keys() <= set(Copy.__struct_fields__)):
            return None
        return self.judged(**{who: changed(said, **facts)})


def changed(said: Answer, **facts: Any) -> Answer:
    """The same answer with these facts, of the node or of its copy."""
    of_copy = {key: value for key, value in facts.items() if key in Copy.__struct_fields__}
    of_node = {key: value for key, value in facts.items() if key not in of_copy}
    copy = msgspec.structs.replace(said.copy, **of_copy) if said.copy is not None and of_copy else said.copy
    return msgspec.structs.replace(said, copy=copy, **of_node)


SITUATIONS = {
    "a quorum answers": Situation(QUORUM, answer("beta"), gamma()),
    "by the word of the administrator": Situation(ONE, answer("beta"), gamma(), ("alpha",)),
    "of a former source": Situation(QUORUM, answer("beta", "arbitrating"), gamma()),
    "the peer was told first of a generation": Situation(
        QUORUM, answer("beta"), changed(gamma(generation=G2, history=()), base=[G1, G2])
    ),
    "the peer is older": Situation(QUORUM, answer("beta"), gamma(generation=G0, history=())),
    "the peer was in another session": Situation(ONE, answer("beta"), gamma(session=8, heard_at=9000.0), ("alpha",)),
    "this copy lags": Situation(QUORUM, answer("beta", in_sync_when_lost=False, applied_bytes=500), gamma()),
    "nobody answers": Situation(QUORUM, answer("beta", in_sync_when_lost=False), None),
}
VALUES: dict[str, list[Any]] = {
    "mirror_id": [""],
    "role": ["source", "target", "arbitrating"],
    "generation": ["", G0, G1, G2],
    "history": [[], [G0], [G1, G0], [G2, G1, G0]],
    "base": [[], [G1, G2]],
    "since": [6000.0],
    "own_bytes": [4096],
    "terms": [OTHER_TERMS],
    "agreed": [OTHER_TERMS],
    "store_failed": ["cannot flush"],
    "split_brain": [["alpha"], ["gamma"]],
    "former": [[required(ONE)]],
    "next_source": ["alpha"],
    "vote": ["alpha"],
    "ballot": [Ballot(3, "alpha")],
    "promised": [[Ballot(4, "alpha")]],
    "stood": [9],
    "yields_to": ["alpha"],
    "mode": ["async"],
    "state": ["Behind"],
    "store_state": ["Inconsistent", "Empty"],
    "follows": ["gamma"],
    "hears": ["alpha"],
    "in_sync_when_lost": [False, True],
    "in_sync_as_of": [None, 4000.0],
    "heard_at": [None, 4000.0, 6000.0],
    "session": [0, 7, 8],
    "applied": [20],
    "applied_bytes": [100, 2000],
    "head_bytes": [100, 2000],
    "missing_bytes": [0, 4096],
    "last_mode": ["async"],
    "power_lost": [True],
}
NO_FACTS = {"node", "mirror", "copy", "number"}  # who it is, what is below, and which question it answers


def test_every_fact_that_a_node_tells_is_looked_at_here() -> None:
    assert set(VALUES) == {*Answer.__struct_fields__, *Copy.__struct_fields__} - NO_FACTS


def _changes(what: str, who: str) -> Iterator[tuple[str, Assessment, Assessment]]:
    """Each fact of a node changed alone: which, what the promotion meant before, and what it means now."""
    situation = SITUATIONS[what]
    before = situation.judged()
    for fact, values in VALUES.items():
        for value in values:
            after = situation.with_facts(who, **{fact: value})
            if after is not None:
                yield fact, before, after


def _own(found: Assessment) -> tuple[float | None, int | None]:
    """What is lost if this node is promoted."""
    outlook = next(one for one in found.nodes if one.node == found.node)
    return outlook.lost_seconds, outlook.lost_bytes


# This node's own vote is for itself by the time that a forced promotion is judged.
HIDDEN = {("own", "vote")}


@pytest.mark.parametrize("who", ["own", "peer"])
@pytest.mark.parametrize("what", SITUATIONS)
def test_a_fact_that_adds_a_reason_or_changes_what_is_lost_changes_the_token(what: str, who: str) -> None:
    for fact, before, after in _changes(what, who):
        if (who, fact) in HIDDEN:
            assert after.token == before.token
            continue
        added = set(after.codes) - set(before.codes) or set(after.reasons) - set(before.reasons)
        lost = _own(after) != _own(before) and after.possible
        goes_on = any(one.hears for one in after.nodes)
        assert not added or after.token != before.token, (fact, added)
        assert goes_on or not lost or after.token != before.token, (fact, _own(before), _own(after))


def test_the_facts_from_which_reasons_arise() -> None:
    adding = {"own": set[str](), "peer": set[str]()}
    for what in SITUATIONS:
        for who, found in adding.items():
            found |= {fact for fact, before, after in _changes(what, who) if set(after.codes) - set(before.codes)}
    of_copy = {"mode", "last_mode", "store_state", "power_lost", "in_sync_when_lost", "session", "heard_at", "hears"}
    of_lineage = {"generation", "history", "mirror_id"}
    assert adding["own"] == {
        *of_copy,
        *of_lineage,
        *("agreed", "former", "next_source", "role", "split_brain", "store_failed", "vote"),
    }
    assert adding["peer"] == {
        *of_lineage,
        *("agreed", "base", "heard_at", "hears", "next_source", "role", "session", "terms", "vote"),
    }


def test_a_node_that_no_longer_answers_or_another_description_changes_the_token() -> None:
    one = SITUATIONS["a quorum answers"]
    told = one.judged()
    for other in (
        Situation(QUORUM, answer("beta"), None),
        Situation(QUORUM, answer("beta"), gamma(), ("alpha",)),
        Situation(ONE, answer("beta"), gamma()),
        Situation(mirror(2, THREE | {"delta": "sync"}), answer("beta"), gamma()),
    ):
        assert other.judged().token != told.token


@pytest.mark.parametrize("who", ["own", "peer"])
def test_a_vote_for_another_node_changes_the_token_even_after_it_has_ended(who: str) -> None:
    """That node may have been elected by it, and be cut off from here."""
    situation = SITUATIONS["a quorum answers"]
    voted = situation.with_facts(who, promised=[Ballot(4, "alpha")])
    assert voted is not None
    assert voted.token != situation.judged().token


@pytest.mark.parametrize("what", SITUATIONS)
def test_the_candidacy_that_follows_the_dry_run_does_not_change_the_token(what: str) -> None:
    """It votes for itself, and some of the others vote for it, or do not."""
    situation, ballot = SITUATIONS[what], Ballot(5, "beta")
    own, peer = situation.nodes["own"], situation.nodes["peer"]
    assert own is not None
    own = changed(own, vote="beta", stood=5)
    votes = [None] if peer is None else [peer, changed(peer, vote="beta", promised=[ballot])]
    for said in votes:
        answers = {"alpha": None, "gamma": said}
        for under in (ballot, None):
            stood = assess(situation.description, own, answers, situation.fenced, candidate=True, ballot=under)
            assert stood.token == situation.judged().token, (said, under)


def test_what_a_source_that_a_peer_hears_goes_on_with_does_not_change_the_token() -> None:
    own = answer("beta", in_sync_when_lost=False, applied_bytes=500)
    tokens = set()
    for n in range(2):
        said = gamma(
            hears="alpha",
            applied=10 + n,
            applied_bytes=1000 + n,
            head_bytes=2000 + n,
            heard_at=6000.0 + n,
            in_sync_as_of=6000.0 + n,
        )
        tokens.add(Situation(QUORUM, own, said).judged().token)
    assert len(tokens) == 1
