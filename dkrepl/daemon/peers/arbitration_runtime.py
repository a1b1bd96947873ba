"""A node that was source asks its peers before it serves: wires the core's arbitration to the control sockets.

It answers its peers' questions meanwhile, for they may have been restarted too, and the control socket.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, assert_never

from dkrepl.core import actions as act
from dkrepl.core.election.arbitration import Arbitration
from dkrepl.core.election.node_identity import RoleReport, own_identity
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.node import Outcome
from dkrepl.core.protocol import messages
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.daemon.peers.answering import Answering
from dkrepl.daemon.peers.control_port import ControlPort
from dkrepl.daemon.peers.peer_channel import PeerChannel
from dkrepl.daemon.peers.promotions import Promotions
from dkrepl.daemon.surroundings import Surroundings
from dkrepl.errors import DkreplError, ProtocolError


class ArbitrationRuntime:
    """Runs until the arbitration has a verdict or ``stop`` is called; then ``stopping`` of its loop is set."""

    role: Literal["source"] = "source"

    def __init__(self, here: Surroundings, metadata: NodeMetadata, age: float | None = None) -> None:
        """``age``: seconds since the daemon that handed over the device gave a sign of life; None: there was none."""
        self.here = here
        outside, description, node, limits = here.outside, here.description, here.node.name, here.limits
        self.metadata = metadata
        self.error: DkreplError | None = None
        self._overruled: tuple[tuple[str, ...], float] = ((), 0.0)  # codes that a forced promotion overruled, and when
        self.workers = outside.workers(here.loop)
        self.arbitration = Arbitration(description, node, metadata, age, limits=limits)
        self._ready: Callable[[], None] | None = None
        self._began = 0.0
        self.control_port = ControlPort(
            outside.control_port_socket(),
            Answering(description, node, lambda _: self._report()),
            lambda: metadata,
            limits=limits,
        )
        try:
            sockets = outside.target_sockets()
        except BaseException:
            self.control_port.close()
            raise
        self.channel = PeerChannel(sockets, here.loop, refused=self._refused)
        self.channel.listen(self.arbitration.on_answer)
        self.promotions = Promotions(
            self.arbitration,
            here,
            self.channel,
            own=lambda: own_identity(description, self._report()),
            perform=self._perform,
            now=outside.clock.boot,
        )

    def start(self, ready: Callable[[], None]) -> None:
        """Begin to ask. ``ready()`` is called only if it takes long, so that nobody waits for ever for the service."""
        self._ready, self._began = ready, self.here.outside.clock.monotonic()
        self.channel.watch(lambda: None)
        self.here.loop.watch(self.control_port.fd, lambda: None)

    def step(self) -> None:
        """Take what the peers say."""
        self.arbitration.advance(self.here.outside.clock.boot())
        self.control_port.answer()
        self.channel.receive()
        self._perform()

    def _refused(self, peer: str, error: ProtocolError) -> None:
        self.here.events.report("frame_refused", "warning", {"peer": peer, "reason": str(error)})

    def _report(self) -> RoleReport:
        copy = messages.Copy(mode=self.here.node.mode, store_state=self.metadata.store_state)
        return RoleReport(role="arbitrating", metadata=self.metadata, copy=copy, vote=self.arbitration.vote)

    def tick(self) -> None:
        """Let time pass."""
        now = self.here.outside.clock.monotonic()
        if self._ready is not None and now - self._began > self.here.limits.ready_anyway_seconds:
            self._ready()
        self.arbitration.tick(self.here.outside.clock.boot())
        self._perform()

    def promote(self, overruled: tuple[str, ...], at: float, ballot: Ballot | None) -> bool:
        """Serve now, under ``ballot``, although peers have not answered: the administrator has promoted this node.

        ``overruled``: codes of the reasons against it, at Unix time ``at``. Returns False if it has just found another
        node to follow.
        """
        if self.arbitration.verdict is None:
            self._overruled = overruled, at
            self.arbitration.insist(ballot)
        return self.arbitration.verdict == "serve"

    @property
    def outcome(self) -> Outcome:
        """What it came to."""
        overruled, at = self._overruled
        arbitration = self.arbitration
        return Outcome(verdict=arbitration.verdict, ballot=arbitration.elected, overruled=overruled, at=at)

    def renew_keys(self) -> None:
        """The peers' keys have changed."""
        self.channel.renew_keys()

    def _perform(self) -> None:
        todo = self.arbitration.actions
        while todo:
            self._carry_out(todo.pop(0))
        if self.arbitration.verdict is not None:
            self.here.loop.stopping = True

    def _carry_out(self, action: act.ArbitrationAction) -> None:
        match action:
            case act.Send():
                self.channel.send(action.peer, action.message)
            case act.Commit():
                self._commit(action)
            case act.Event():
                self.here.events.report(action.name, action.level, action.fields)
            case _:
                assert_never(action)

    def _commit(self, commit: act.Commit) -> None:
        number, record = commit.number, commit.metadata
        assert record is not None, "an arbitration commits nothing but its record"

        def done(_: object, error: DkreplError | None) -> None:
            if error is not None:
                self.here.events.report("commit_failed", "error", {"reason": str(error)})
                self.arbitration.commit_failed(number)
                return
            self.arbitration.committed(number)
            self.promotions.ask_for_votes()

        self.workers.run("commit", lambda: self.here.outside.state.write_metadata(record), done)

    def stop(self, _changes_role: bool = False) -> None:
        """End without a verdict."""
        self.here.loop.stopping = True

    def close(self) -> None:
        """Give the sockets back."""
        self.here.loop.ignore(self.control_port.fd)
        self.workers.close()
        self.channel.close()
        self.control_port.close()
