"""A source looks out for another one: it asks the peers that do not follow it who they are (rule R7).

Two sources never meet by themselves, for it is targets that connect. So after a partition only this finds them out.
"""

from __future__ import annotations

from collections.abc import Iterable

from dkrepl.config.description import Description, Node
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.protocol import messages
from dkrepl.daemon.connections import TargetSockets
from dkrepl.errors import ProtocolError


class Lookout:
    """``descriptions``: what the peers said of theirs, by name."""

    def __init__(
        self, sockets: TargetSockets, description: Description, node: Node, *, limits: Limits = DEFAULT
    ) -> None:
        self._limits = limits
        self._sockets = sockets
        self._node = node
        self._mirror = description.name
        self._ask_at = 0.0
        self._heard: dict[str, tuple[float, messages.Answer]] = {}
        self.descriptions: dict[str, messages.Described] = {}

    def tick(self, now: float, mirror_id: str, absent: Iterable[str]) -> list[messages.Answer]:
        """Ask the ``absent`` peers now and then; return their answers that count."""
        absent = set(absent)
        for peer in self._sockets.control:
            while (frame := self._sockets.receive(peer)) is not None:
                try:
                    message = messages.decode(frame)
                except ProtocolError:
                    continue
                if isinstance(message, messages.Answer) and message.node == peer:
                    self._heard[peer] = (now, message)
                elif isinstance(message, messages.Described):
                    self.descriptions[peer] = message
        if now >= self._ask_at:
            self._ask_at = now + self._limits.other_source_ask_seconds
            ask = messages.encode(messages.Ask(self._node.name, self._mirror, mirror_id))
            for peer in sorted(absent):  # in the same order in every process
                self._sockets.send(peer, ask)
        self._heard = {
            peer: (at, answer)
            for peer, (at, answer) in self._heard.items()
            if peer in absent and now - at <= self._limits.other_source_heard_seconds
        }
        return [answer for _, answer in self._heard.values()]

    def ask(self, peer: str, question: messages.Ask | messages.Describe) -> None:
        """Ask a peer something at once."""
        self._sockets.send(peer, messages.encode(question))

    def renew_keys(self) -> None:
        """The peers' keys have changed."""
        self._sockets.renew()

    def close(self) -> None:
        """Give the sockets back."""
        self._sockets.close()
