"""``descriptions``: ask every peer what its description says, and name the keys that differ (R14)."""

from __future__ import annotations

from dkrepl.api.answers import Descriptions, DifferingKey, PeerDescription
from dkrepl.config.description import Description
from dkrepl.config.terms import advisory, differences, required
from dkrepl.core.protocol.messages import Describe, Described
from dkrepl.daemon.control.desk import Desk
from dkrepl.daemon.control.reply import Reply


def carry_out(desk: Desk, reply: Reply) -> None:
    """Ask, and answer once all have said it, or some have been asked often enough."""
    runtime, limits = desk.runtime, desk.limits
    channel, peers = runtime.channel, runtime.here.peers
    question = Describe(desk.node, desk.mirror)

    def ask(times: int) -> None:
        missing = [peer for peer in peers if peer not in channel.descriptions]
        if not missing or not times:
            reply.done(_compared(runtime.here.description, desk.node, peers, channel.descriptions))
            return
        for peer in missing:
            channel.send(peer, question)
        desk.later(reply, limits.description_question_seconds, lambda: ask(times - 1))

    channel.descriptions.clear()
    ask(limits.description_questions)


def _compared(own: Description, node: str, peers: list[str], found: dict[str, Described]) -> Descriptions:
    nodes = [_row(own, peer, found.get(peer)) for peer in peers]
    return Descriptions(own.name, node, all(one.same for one in nodes), nodes)


def _row(own: Description, peer: str, answer: Described | None) -> PeerDescription:
    if answer is None:
        return PeerDescription(peer, False, [], [])
    return PeerDescription(
        peer,
        True,
        [DifferingKey(*one) for one in differences(required(own), answer.terms)],
        [DifferingKey(*one) for one in differences(advisory(own), answer.advisory)],
    )
