"""What a node answers when it is asked who it is: the record, what its role says, and its description."""

from __future__ import annotations

from dkrepl.config.description import parse
from dkrepl.config.example import render_example
from dkrepl.config.terms import advisory, required
from dkrepl.core.election.node_identity import RoleReport, answer_to, described, own_identity
from dkrepl.core.lineage.metadata import PeerRecord
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Ask, Copy
from tests.unit.records import record

DESCRIPTION = parse(render_example(), "r0", {})
PEERS = {
    "beta": PeerRecord(generations=("g3",), base=("g2",), tracked=True),
    "gamma": PeerRecord(generations=("g3",), split_brain=True),
}
ALPHA = record(history=("g2", "g1"), peers=PEERS, ballot=Ballot(4, "alpha"), stood=4)
ASK = Ask("beta", "r0", "m1", number=7)


def test_it_answers_the_question_it_was_asked() -> None:
    answer = answer_to(ASK, DESCRIPTION, RoleReport(role="source", metadata=ALPHA, own_bytes=4096))
    assert answer.number == 7
    assert (answer.node, answer.mirror, answer.mirror_id) == ("alpha", "r0", "m1")
    assert (answer.role, answer.copy, answer.own_bytes) == ("source", None, 4096)
    assert (answer.generation, answer.history) == ("g3", ["g2", "g1"])
    assert (answer.ballot, answer.stood) == (Ballot(4, "alpha"), 4)
    assert answer.terms == required(DESCRIPTION)


def test_the_base_is_the_one_kept_for_the_node_that_asks() -> None:
    report = RoleReport(role="source", metadata=ALPHA)
    assert answer_to(ASK, DESCRIPTION, report).base == ["g2"]
    assert answer_to(Ask("gamma", "r0", "m1"), DESCRIPTION, report).base == []
    assert answer_to(Ask("nobody", "r0", "m1"), DESCRIPTION, report).base == []


def test_it_names_the_peers_with_which_it_is_in_a_split_brain() -> None:
    assert own_identity(DESCRIPTION, RoleReport(role="source", metadata=ALPHA)).split_brain == ["gamma"]


def test_to_itself_a_node_says_what_its_role_says() -> None:
    copy = Copy(mode="sync", hears="gamma")
    own = own_identity(DESCRIPTION, RoleReport(role="target", metadata=ALPHA, copy=copy, vote="alpha"))
    assert (own.role, own.copy, own.vote, own.number) == ("target", copy, "alpha", 0)


def test_a_description_is_told_without_what_is_a_nodes_own() -> None:
    found = described(DESCRIPTION, "alpha")
    assert (found.node, found.mirror) == ("alpha", "r0")
    assert found.terms == required(DESCRIPTION)
    assert found.advisory == advisory(DESCRIPTION)
