"""Promotions that are being tried: their times, several at once, and what happens when all have answered."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from dkrepl.config.description import parse
from dkrepl.config.example import render_example
from dkrepl.config.limits import DEFAULT
from dkrepl.core.election.promotion import Assessment
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Ask
from dkrepl.daemon.peers.peer_channel import PeerChannel
from dkrepl.daemon.peers.promotions import Promotions
from dkrepl.daemon.surroundings import Surroundings
from tests.unit.core.election.role import OWN, Role
from tests.unit.daemon.peers.sockets import FakeLoop, FakeSockets

DESCRIPTION = parse(render_example(), "r0", {})


class Scene:
    """beta is being promoted; alpha and gamma are asked."""

    def __init__(self) -> None:
        nothing: Any = None
        self.loop, self.role = FakeLoop(), Role()
        here = Surroundings(
            outside=nothing,
            description=DESCRIPTION,
            node=DESCRIPTION.node("beta"),
            loop=self.loop.as_loop,
            events=nothing,
            access=nothing,
        )
        self.sockets = FakeSockets(*here.peers)
        self.channel = PeerChannel(self.sockets.as_sockets, here.loop)
        self.promotions = Promotions(
            self.role, here, self.channel, own=lambda: OWN, perform=lambda: None, now=lambda: 0.0
        )
        self.found: list[tuple[Assessment, Ballot | None]] = []

    def stand(self) -> None:
        self.promotions.stand(self.loop.later, (), False, lambda found, ballot: self.found.append((found, ballot)))

    def look_around(self) -> None:
        self.promotions.look_around(self.loop.later, (), lambda found: self.found.append((found, None)))

    def asked(self) -> list[tuple[str, Ask]]:
        sent, self.sockets.sent = self.sockets.sent, []
        return [(peer, cast(Ask, message)) for peer, message in sent]

    def answer(self, questions: list[tuple[str, Ask]]) -> None:
        """The peers answer, and vote if they are asked to."""
        for peer, ask in questions:
            vote = {"vote": "beta", "promised": [Ballot(ask.ballot, "beta")]} if ask.vote == "wanted" else {"vote": ""}
            self.sockets.put(peer, msgspec.structs.replace(OWN, node=peer, number=ask.number, **cast(Any, vote)))
        self.channel.receive()


def test_once_all_have_voted_it_ends_at_once() -> None:
    scene = Scene()
    scene.stand()
    scene.answer(scene.asked())
    assert scene.found == [], "in the next round: others may wait for these answers, too"
    assert sum(scene.loop.pass_time()) == pytest.approx(DEFAULT.poll_again_seconds), "what was to come is void"
    [(found, ballot)] = scene.found
    assert ballot == Ballot(1, "beta")
    assert not found.not_answered
    assert scene.asked() == []


def test_who_is_silent_is_asked_again_until_the_time_is_up() -> None:
    scene = Scene()
    scene.look_around()
    assert sum(scene.loop.pass_time()) == pytest.approx(DEFAULT.poll_answer_seconds)
    assert len(scene.asked()) == 2 * round(DEFAULT.poll_answer_seconds / DEFAULT.poll_again_seconds)
    [(found, _)] = scene.found
    assert len(found.not_answered) == 2


def test_several_at_once_each_get_the_answers_to_their_own_questions() -> None:
    scene = Scene()
    scene.stand()
    votes = scene.asked()
    scene.look_around()
    plain = scene.asked()
    scene.answer(plain)
    next(iter(scene.loop.pass_time()))
    assert [ballot for _, ballot in scene.found] == [None], "the dry run"
    scene.answer(votes)
    list(scene.loop.pass_time())
    assert [ballot for _, ballot in scene.found] == [None, Ballot(1, "beta")]


def test_a_newer_ballot_begins_another_poll() -> None:
    scene = Scene()
    scene.stand()
    for peer, ask in scene.asked():
        newer = msgspec.structs.replace(OWN, node=peer, number=ask.number, vote="", promised=[Ballot(5, "alpha")])
        scene.sockets.put(peer, newer)
    scene.channel.receive()
    next(iter(scene.loop.pass_time()))
    votes = [ask.vote for _, ask in scene.asked()]
    assert votes == ["withdrawn", "withdrawn", "wanted", "wanted"]
    assert scene.found == []
    scene.promotions.ask_for_votes()
    scene.answer(scene.asked())
    list(scene.loop.pass_time())
    assert [ballot for _, ballot in scene.found] == [Ballot(6, "beta")]


def test_the_votes_are_given_back_once_the_last_promotion_is_refused() -> None:
    scene = Scene()
    scene.stand()
    scene.stand()
    scene.asked()
    scene.promotions.stand_down()
    assert scene.asked() == []
    scene.promotions.stand_down()
    assert [(peer, ask.vote, ask.ballot) for peer, ask in scene.asked()] == [
        ("alpha", "withdrawn", 1),
        ("gamma", "withdrawn", 1),
    ]
