"""Alpha, a source that beta and gamma join: what it is told, and what it does."""

from __future__ import annotations

from typing import Any

import msgspec

from dkrepl.config.description import Description
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.protocol.frames import Ack
from dkrepl.core.protocol.messages import Ready
from dkrepl.core.source.member import Member
from dkrepl.core.source.source import Source
from dkrepl.core.source.target_view import TargetView
from tests.unit.core.driven import Action, Driven
from tests.unit.core.source.started import DESCRIPTION, SESSION, new_record, started
from tests.unit.greetings import hello

PAGE = 4096


def described(beta: dict[str, Any] | None = None, gamma: dict[str, Any] | None = None, **fields: Any) -> Description:
    """Return the description with ``fields`` set otherwise, and those of beta and gamma."""
    changes: dict[str, dict[str, Any]] = {"beta": beta or {}, "gamma": gamma or {}}
    nodes = tuple(msgspec.structs.replace(node, **changes.get(node.name, {})) for node in DESCRIPTION.nodes)
    return msgspec.structs.replace(DESCRIPTION, nodes=nodes, **fields)


class Alpha(Driven[Source]):
    """Alpha, which has data of generation b1; ``facts``: of its record, if otherwise."""

    def __init__(self, description: Description = DESCRIPTION, limits: Limits = DEFAULT, **facts: Any) -> None:
        super().__init__(started(new_record(**facts), description, limits))
        self.description = description
        self.tokens = 0

    def committed(self, number: int) -> None:
        """Let a commit end well."""
        self.core.commits.committed(number, self.now)

    def flush(self, number: int) -> None:
        """Flush its store, at its end."""
        self.core.last_flush_ended(number, None, self.now)

    def view(self, peer: str = "beta") -> TargetView:
        """Return what it knows of ``peer``."""
        return self.core.views[peer]

    def member(self, peer: str = "beta") -> Member:
        """Return what it knows of ``peer``, which is in the stream."""
        member = self.view(peer).member
        assert member is not None, f"{peer} is not in the stream"
        return member

    def hello(self, peer: str = "beta", **fields: Any) -> list[Action]:
        """Let ``peer``, whose copy is that of alpha, ask to join; ``fields``: of its Hello, if otherwise."""
        facts: dict[str, Any] = {"node": peer, "generation": "b1", "epoch": self.view(peer).epoch or 5}
        return self.say(hello(self.description, **facts | fields), peer)

    def enter(self, peer: str = "beta", dirty_blocks: int = 0, **fields: Any) -> TargetView:
        """Let ``peer`` enter the stream; return what alpha knows of it."""
        self.hello(peer, dirty_blocks=dirty_blocks, **fields)
        self.say(Ready(self.view(peer).epoch, dirty_blocks), peer)
        return self.view(peer)

    def get_in_sync(self, peer: str = "beta") -> TargetView:
        """Let ``peer`` enter and confirm the end of its resync, in which nothing is copied."""
        view = self.enter(peer)
        seq = self.core.stream.log.seq
        self.ack(peer, applied=seq, durable=seq, resync_applied=1, resync_durable=1)
        assert view.state == "InSync", view.reason
        return view

    def ack(
        self,
        peer: str = "beta",
        *,
        applied: int = 0,
        durable: int = 0,
        resync_applied: int = 0,
        resync_durable: int = 0,
        **fields: Any,
    ) -> list[Action]:
        """Let ``peer`` send an ack; ``fields`` are set otherwise."""
        ack = Ack(self.view(peer).epoch, SESSION, applied, durable, resync_applied, resync_durable)
        self.core.acks.on_ack(peer, ack._replace(**fields), self.now)
        return self.perform()

    def write(self, offset: int = 0, length: int = PAGE) -> int:
        """Let an application write; returns the seq. It is admitted, stored, and waits for its answer."""
        while not self.core.write_admission.admit(offset, length):
            self.core.commits.plan(self.now)
            assert self.perform(), "the write waits"
        seq = self.core.stream.intend(offset, length, length)
        self.tokens += 1
        self.core.stream.park(seq, (self.tokens, length))
        return seq

    def answered(self) -> list[int]:
        """Return the numbers of the writes that are answered now."""
        return [number for number, _ in self.core.stream.release()]

    def let_pass(self, seconds: float) -> list[Action]:
        """Let time pass; return what it does."""
        self.now += seconds
        self.core.tick(self.now, wall=1700.0 + self.now, stalled=self.stalled)
        return self.perform()
