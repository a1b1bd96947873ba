"""One channel to the peers: who waits for answers gets them, and nobody speaks under another's name."""

from __future__ import annotations

from dkrepl.core.protocol.frames import Ack, pack_ack
from dkrepl.core.protocol.messages import Answer, Ask, Bye, Described
from dkrepl.daemon.peers.peer_channel import PeerChannel
from tests.unit.daemon.peers.sockets import FakeLoop, FakeSockets

ANSWER = Answer(node="beta", mirror="r0", mirror_id="m1", role="target", generation="g1", history=[])


class Scene:
    """A channel to beta and gamma, and what it hands on."""

    def __init__(self) -> None:
        self.sockets, self.loop = FakeSockets("beta", "gamma"), FakeLoop()
        self.refused: list[str] = []
        self.others: list[tuple[str, object]] = []
        self.channel = PeerChannel(
            self.sockets.as_sockets,
            self.loop.as_loop,
            refused=lambda peer, _: self.refused.append(peer),
            other=lambda peer, message: self.others.append((peer, message)),
        )


def test_an_answer_goes_to_everybody_who_listens() -> None:
    scene = Scene()
    first: list[Answer] = []
    second: list[Answer] = []
    scene.channel.listen(first.append)
    scene.channel.listen(second.append)
    scene.sockets.put("beta", ANSWER)
    scene.channel.receive()
    assert first == second == [ANSWER]
    assert scene.others == []


def test_an_answer_under_another_name_counts_as_none() -> None:
    scene = Scene()
    heard: list[Answer] = []
    scene.channel.listen(heard.append)
    scene.sockets.put("gamma", ANSWER)
    scene.channel.receive()
    assert heard == []
    assert scene.refused == []


def test_a_description_is_remembered_under_the_name_of_who_was_asked() -> None:
    scene = Scene()
    described = Described("betta", "r0", {}, {})  # its own description names it so: that difference is to be seen
    scene.sockets.put("beta", described)
    scene.channel.receive()
    assert scene.channel.descriptions == {"beta": described}


def test_what_makes_no_sense_is_refused_and_what_comes_after_it_is_taken() -> None:
    scene = Scene()
    scene.sockets.put("beta", b"nonsense", Bye("beta"), pack_ack(Ack(1, 2, 3, 3, 0, 0)))
    scene.channel.receive()
    assert scene.refused == ["beta"]
    assert scene.others == [("beta", Bye("beta"))], "an ack is for a source"


def test_it_sends_questions_and_acks() -> None:
    scene = Scene()
    ask, ack = Ask("alpha", "r0", "m1", number=3), Ack(1, 2, 3, 3, 0, 0)
    scene.channel.send("beta", ask)
    scene.channel.acknowledge("gamma", ack)
    assert scene.sockets.sent == [("beta", ask), ("gamma", ack)]


def test_new_keys_are_new_connections_which_are_watched_as_the_old_ones_were() -> None:
    scene = Scene()
    scene.channel.renew_keys()
    assert scene.sockets.renewed
    assert scene.loop.watched == {}, "they never were"
    scene.channel.watch(lambda: None)
    before = set(scene.loop.watched)
    scene.channel.renew_keys()
    assert len(scene.loop.watched) == len(before) == 2
    assert not before & set(scene.loop.watched)
    scene.channel.close()
    assert scene.loop.watched == {}
    assert scene.sockets.closed
