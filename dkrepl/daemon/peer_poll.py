"""Asks every peer what it holds, and waits a moment for the answers: what a promotion is judged by."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any, Protocol

from dkrepl.core.description import Description, Node
from dkrepl.core.messages import Answer, Ask, Describe
from dkrepl.core.promotion import Assessment, assess

PATIENCE = 1.0
"""Seconds for the answers; a peer that has not answered then counts as not reachable."""
_AGAIN = 0.25  # seconds, after which those that have not answered are asked again


class Asking(Protocol):
    """A runtime that can ask its peers."""

    description: Description
    node: Node
    polls: list[PeerPoll]

    def facts(self) -> Answer:
        """Return what this node says of itself."""

    def ask_peer(self, peer: str, question: Ask | Describe) -> None:
        """Send a question to a peer."""


class PeerPoll:
    """One poll; made, and given its answers, in the loop."""

    def __init__(self, runtime: Asking) -> None:
        own = runtime.facts()
        self.answers: dict[str, Answer | None] = dict.fromkeys(
            peer.name for peer in runtime.description.peers(runtime.node.name)
        )
        self.complete = threading.Event()
        self._ask = Ask(own.node, own.mirror, own.mirror_id)
        self._runtime = runtime

    def ask(self) -> None:
        """Ask those that have not answered."""
        for peer, answer in self.answers.items():
            if answer is None:
                self._runtime.ask_peer(peer, self._ask)

    def on_answer(self, peer: str, answer: Answer) -> None:
        """Take an answer; one of another mirror counts as none."""
        ids = {answer.mirror_id, self._ask.mirror_id, ""}
        if peer in self.answers and answer.node == peer and answer.mirror == self._ask.mirror and len(ids) <= 2:
            self.answers[peer] = answer
            if all(self.answers.values()):
                self.complete.set()


def look_around(
    runtime: Asking, in_loop: Callable[[Callable[[], Any]], Any], fenced: Collection[str] = ()
) -> Assessment:
    """Ask the peers and return what a promotion of this node means. Called from a client's thread.

    ``fenced``: nodes that are declared not to have answered anything without this one.
    """

    def begin() -> PeerPoll:
        poll = PeerPoll(runtime)
        runtime.polls.append(poll)
        poll.ask()
        return poll

    def end() -> Assessment:
        runtime.polls.remove(poll)
        return assess(runtime.description, runtime.facts(), poll.answers, fenced)

    poll: PeerPoll = in_loop(begin)
    for _ in range(int(PATIENCE / _AGAIN)):
        if poll.complete.wait(_AGAIN):
            break
        in_loop(poll.ask)
    found: Assessment = in_loop(end)
    return found
