"""Whether another node is source as well: a source asks the peers that do not follow it who they are (rule R7).

Two sources never meet by themselves, for it is targets that connect. So after a partition only this finds them out.
"""

from __future__ import annotations

from collections.abc import Iterable

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.protocol import messages
from dkrepl.daemon.peers.peer_channel import PeerChannel


class OtherSources:
    """Finds another source among the peers that do not follow ``node`` in ``mirror``."""

    def __init__(self, channel: PeerChannel, node: str, mirror: str, *, limits: Limits = DEFAULT) -> None:
        self._limits = limits
        self._channel = channel
        self._node = node
        self._mirror = mirror
        self._now = 0.0
        self._ask_at = 0.0
        self._heard: dict[str, tuple[float, messages.Answer]] = {}
        channel.listen(self._on_answer)

    def tick(self, now: float, mirror_id: str, absent: Iterable[str]) -> list[messages.Answer]:
        """Ask the ``absent`` peers now and then; return their answers that count."""
        absent, self._now = set(absent), now
        self._channel.receive()
        if now >= self._ask_at:
            self._ask_at = now + self._limits.other_source_ask_seconds
            for peer in sorted(absent):  # in the same order in every process
                self._channel.send(peer, messages.Ask(self._node, self._mirror, mirror_id))
        self._heard = {
            peer: (at, answer)
            for peer, (at, answer) in self._heard.items()
            if peer in absent and now - at <= self._limits.other_source_heard_seconds
        }
        return [answer for _, answer in self._heard.values()]

    def _on_answer(self, answer: messages.Answer) -> None:
        self._heard[answer.node] = self._now, answer
