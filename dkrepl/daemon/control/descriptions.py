"""What the nodes' descriptions say: asks every peer, and names the keys that differ (rule R14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from dkrepl.api.answers import Descriptions, DifferingKey, PeerDescription
from dkrepl.config.description import Description, Node
from dkrepl.config.limits import Limits
from dkrepl.config.terms import advisory, differences, required
from dkrepl.core.protocol.messages import Ask, Describe, Described
from dkrepl.daemon.outside import Outside


class Asking(Protocol):
    """A runtime that can ask its peers; ``descriptions`` has what they said."""

    outside: Outside
    limits: Limits
    description: Description
    node: Node

    @property
    def descriptions(self) -> dict[str, Described]:
        """What the peers said of their descriptions, by name."""

    def ask_peer(self, peer: str, question: Ask | Describe) -> None:
        """Send a question to a peer."""


def compare(runtime: Asking, in_loop: Callable[[Callable[[], Any]], Any]) -> Descriptions:
    """Return, for each peer, the keys in which its description differs. Called from a client's thread."""
    own = runtime.description
    peers = [peer.name for peer in own.peers(runtime.node.name)]
    question = Describe(runtime.node.name, own.name)

    def ask() -> list[str]:
        missing = [peer for peer in peers if peer not in runtime.descriptions]
        for peer in missing:
            runtime.ask_peer(peer, question)
        return missing

    in_loop(runtime.descriptions.clear)
    pause = runtime.outside.event()
    for _ in range(runtime.limits.description_questions):
        if not in_loop(ask):
            break
        pause.wait(runtime.limits.description_question_seconds)
    found: dict[str, Described] = in_loop(lambda: dict(runtime.descriptions))
    nodes = [_row(own, peer, found.get(peer)) for peer in peers]
    return Descriptions(own.name, runtime.node.name, all(node.same for node in nodes), nodes)


def _row(own: Description, peer: str, answer: Described | None) -> PeerDescription:
    if answer is None:
        return PeerDescription(peer, False, [], [])
    return PeerDescription(
        peer,
        True,
        [DifferingKey(*one) for one in differences(required(own), answer.terms)],
        [DifferingKey(*one) for one in differences(advisory(own), answer.advisory)],
    )
