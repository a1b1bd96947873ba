"""A node as target: gives the core what arrives, and carries out what it asks for in sockets, workers and files.

When the store is flushed, what waits for that (R3) and what is acknowledged is decided in core/target.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, assert_never

import msgspec
from xxhash import xxh3_128_hexdigest

from dkrepl import __version__
from dkrepl.core import actions as act
from dkrepl.core.election.node_identity import RoleReport, own_identity
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.node import Change, Inheritance
from dkrepl.core.protocol import frames, messages
from dkrepl.core.target.target import Target
from dkrepl.daemon.intent_store import IntentStore
from dkrepl.daemon.peers.answering import Answering
from dkrepl.daemon.peers.control_port import ControlPort
from dkrepl.daemon.peers.peer_channel import PeerChannel
from dkrepl.daemon.peers.promotions import Promotions
from dkrepl.daemon.surroundings import Surroundings
from dkrepl.daemon.target.diverged import DivergedBlocks
from dkrepl.errors import DkreplError, ProtocolError, StateDirectoryError, StoreError

RunState = Literal["Starting", "Serving", "Stopping"]


class TargetRuntime:
    """Connects a ``Target`` with the outside. Runs until ``stop`` has ended; then ``stopping`` of its loop is set."""

    role: Literal["target"] = "target"

    def __init__(self, here: Surroundings, metadata: NodeMetadata, order: Callable[[Change], bool]) -> None:
        self.here = here
        outside, description, node, limits = here.outside, here.description, here.node.name, here.limits
        store, clock, loop, report = outside.store, outside.clock, here.loop, here.events.report
        self._now = clock.monotonic
        self.store = store
        self.state: RunState = "Starting"
        self.error: DkreplError | None = None
        self.unsound = False
        """Whether its last flush failed, so that it must not be source."""
        self._order = order
        self.intent_store = IntentStore(outside.state, metadata, here.peers, store, report, limits=limits)
        bitmaps = {name: file.bitmap for name, file in self.intent_store.files.items()}
        record, began = self.intent_store.metadata, clock.monotonic()
        self.target = Target(
            description,
            node,
            record,
            bitmaps=bitmaps,
            software=__version__,
            store=store,
            began=began,
            limits=limits,
        )
        self.control_port = ControlPort(
            outside.control_port_socket(),
            Answering(description, node, self._asked),
            self._offer,
            self._source_stalled,
            limits=limits,
        )
        self.stall = outside.stall_watch(loop, store.calls, report)
        self._ticked = self._now()
        self._late = False
        try:
            self.sockets = outside.target_sockets()
        except BaseException:
            self.control_port.close()
            raise
        self.channel = PeerChannel(self.sockets, loop, refused=self._refused_of, other=self._take_control)
        self.channel.listen(self._take_answer)
        self.promotions = Promotions(
            self.target.voter,
            here,
            self.channel,
            own=self._own_identity,
            perform=self._perform,
            now=self._now,
        )
        self.frames_refused = 0
        self.workers = outside.workers(loop)
        self.diverged = DivergedBlocks(outside, self.workers, here.events)
        self._zeroing_wanted = False  # looked at between two pieces by a worker that zeroes a range of the stream
        self._stream_fds: list[int] = []
        self._stream_disconnected = False  # but what had arrived before is still being taken
        self._control_came = True
        self._refusal_told_at = 0.0

    def start(self, ready: Callable[[], None]) -> None:
        """Begin to look for the source."""
        self.channel.watch(self._control_signalled)
        self.here.loop.watch(self.control_port.fd, self._control_signalled)
        self.stall.start()
        self.state = "Serving"
        ready()

    def renew_keys(self) -> None:
        """The peers' keys have changed."""
        self.channel.renew_keys()
        self.stall.renew_keys()
        self._control_came = True

    # --- one round of the loop -----------------------------------------------------------------------

    def step(self) -> None:
        """What every round does after the descriptors: control frames, the stream, flushes, acks."""
        target = self.target
        if self._control_came:
            self._control_came = False
            self.control_port.answer()
            self.channel.receive()
            self._stream_disconnected = self.sockets.broken() or self._stream_disconnected
            if target.voter.inherits is not None and self.state == "Serving":
                self._order(Inheritance(target.voter.inherits))
        more = self._take_messages()
        if self._stream_disconnected and not more and not target.stream.blocked:
            # Only now, for what had arrived may be all that is left of the source.
            self._stream_disconnected = False
            target.stream.disconnected(self._now())
        target.step(self._now())
        if target.actions:
            self._perform()
        self.here.loop.busy = more or target.goes_on

    def _control_signalled(self) -> None:
        self._control_came = True

    def tick(self) -> None:
        """Let time pass."""
        # Sending an ack may use up the signal of a frame that came; it is not looked for until now.
        self._control_came = True
        now = self._now()
        late, self._ticked = now - self._ticked > self.here.description.peer_timeout / 2, now
        self._late = late and not self._late
        if self._late:
            # The loop stood still: what the source has said meanwhile is taken before it counts as silent (R13).
            return
        self.target.tick(now, stalled=self.stall.worker_seconds(now))
        self._perform()
        if self.target.state == "InSync" and self.state == "Serving":
            self.diverged.settle()

    def _take_messages(self) -> bool:
        """Apply what has arrived; returns whether there may be more to take at once."""
        target, stream, actions = self.target, self.target.stream, self.target.actions
        now, next_message, size = self._now, self.sockets.next_message, self.here.description.size
        for _ in range(self.here.limits.stream_messages_a_round):
            if stream.blocked or (received := next_message()) is None:
                return False
            try:
                message = frames.parse_stream(*received, size)
            except ProtocolError as error:
                self._refused(str(error))
                continue
            target.take(message, now())
            if actions:
                self._perform()
        return True

    def _zero(self, wanted: act.ZeroRange) -> None:
        """Zero a range in a worker, which looks between its pieces whether that is wanted still (R13)."""
        change = self.store.discard if wanted.discard else self.store.zero
        piece, end = self.here.limits.zero_call_bytes, wanted.offset + wanted.length

        def work() -> None:
            for start in range(wanted.offset, end, piece):
                if not self._zeroing_wanted:
                    return
                change(start, min(piece, end - start))

        def done(_: object, error: DkreplError | None) -> None:
            self.target.zeroed(None if error is None else str(error), self._now())
            self._perform()

        self._zeroing_wanted = True
        self.workers.run("empty", work, done)

    def _read_digest(self, wanted: act.ReadDigest) -> None:
        def done(value: str | None, error: DkreplError | None) -> None:
            self.target.stream.digest_read(wanted, value, str(error), self._now())
            self._perform()

        # Not in the loop, which waits for no disk (R13).
        self.workers.run("read", lambda: xxh3_128_hexdigest(self.store.read(wanted.offset, wanted.length)), done)

    def _flush_store(self, number: int) -> None:
        def done(_: object, error: DkreplError | None) -> None:
            now = self._now()
            if error is None:
                self.target.store_flushed(number, now)
            else:
                self.target.store_flush_failed(number, str(error), now)
            self._perform()

        self.workers.run("flush", self.store.sync, done)

    # --- control frames and actions ------------------------------------------------------------------

    def _take_control(self, peer: str, message: messages.AnyMessage) -> None:
        self.target.on_message(peer, message, self._now())
        self._perform()

    def _take_answer(self, answer: messages.Answer) -> None:
        self.target.voter.on_answer(answer, self._now())
        self._perform()

    def _source_stalled(self, message: messages.Stalled) -> None:
        self.target.on_message(message.node, message, self._now())
        self._perform()

    def _asked(self, ask: messages.Ask) -> RoleReport:
        vote = self.target.voter.on_ask(ask, self._now())  # before its copy is looked at
        self._perform()
        return self._role_report(vote, self.target.copy(self._now()))

    def _role_report(self, vote: str, copy: messages.Copy) -> RoleReport:
        return RoleReport(role="target", metadata=self._offer(), copy=copy, vote=vote)

    def _own_identity(self) -> messages.Answer:
        """What this node says of itself: a source that it heard counts as alive until it is known not to be."""
        now = self._now()
        copy = msgspec.structs.replace(self.target.copy(now), hears=self.target.source or "")
        return own_identity(self.here.description, self._role_report(self.target.voter.votes_for(now), copy))

    def _refused_of(self, peer: str, error: ProtocolError) -> None:
        self._refused(str(error), peer)

    def _refused(self, reason: str, peer: str | None = None) -> None:
        self.frames_refused += 1
        now = self._now()
        if now - self._refusal_told_at > self.here.limits.complaint_seconds:
            self._refusal_told_at = now
            self.here.events.report(
                "frame_refused", "warning", {"peer": peer, "reason": reason, "count": self.frames_refused}
            )
        if peer is None:
            self.target.stream.bad_frame(reason, now)

    def _perform(self) -> None:
        todo = self.target.actions
        while todo:
            self._carry_out(todo.pop(0))

    def _carry_out(self, action: act.TargetAction) -> None:
        match action:
            case act.SendAck():
                self.channel.acknowledge(action.peer, action.ack)
            case act.Send():
                self.channel.send(action.peer, action.message)
            case act.FlushStore():
                self._flush_store(action.number)
            case act.Commit():
                self._commit(action)
            case act.Connect():
                self._connect(action)
            case act.Disconnect():
                self._disconnect()
            case act.ZeroRange():
                self._zero(action)
            case act.ReadDigest():
                self._read_digest(action)
            case act.SaveDiverged():
                self._save_diverged(action.peer)
            case act.Settle():
                self._settle(action.metadata)
            case act.Ended():
                self._ended(action)
            case act.Event():
                self.here.events.report(action.name, action.level, action.fields)
            case _:
                assert_never(action)

    def _save_diverged(self, peer: str) -> None:
        """Copy the blocks that only this node has to a file, before ``peer`` replaces them (R7)."""

        def done(error: str | None) -> None:
            self.target.joining.diverged_saved(peer, error, self._now())
            self._perform()

        bitmap = self.target.peer_bitmaps.bitmaps[peer]
        self.diverged.save(self.target.metadata, bitmap, peer, done)

    def _connect(self, action: act.Connect) -> None:
        self._disconnect()
        self._stream_fds = self.sockets.subscribe(
            action.peer, frames.topics_of(action.group, action.slot, frames.SLOTS)
        )
        stream, monitor = self._stream_fds
        self.here.loop.watch(stream, lambda: None)
        self.here.loop.watch(monitor, self._control_signalled)

    def _disconnect(self) -> None:
        for fd in self._stream_fds:
            self.here.loop.ignore(fd)
        self._stream_fds = []
        self._stream_disconnected = False
        self._zeroing_wanted = False
        self.sockets.unsubscribe()

    def _commit(self, commit: act.Commit) -> None:
        target = self.target

        def done(_: object, error: DkreplError | None) -> None:
            now = self._now()
            if error is None:
                target.committed(commit.number, now)
            else:
                target.commit_failed(commit.number, str(error), now, store=isinstance(error, StoreError))
            self._perform()
            if target.voter.stands is not None:
                self.promotions.ask_for_votes()

        self.workers.run("commit", lambda: self.intent_store.commit(commit, self.store), done)

    # --- the end -------------------------------------------------------------------------------------

    def yield_to(self, node: str, mode: Literal["keep", "discard"]) -> None:
        """Let what this node alone has be replaced by what ``node`` has; ``mode``: keep it aside before, or not."""
        self.target.joining.yield_to(node, mode)
        self._perform()

    def _offer(self) -> NodeMetadata:
        return self.target.offer(self._now())

    def stop(self, _changes_role: bool = False) -> None:
        """Begin a clean stop: flush, say goodbye."""
        if self.state == "Stopping":
            return
        self.state = "Stopping"

        self.target.stop()
        self._perform()

    def _settle(self, metadata: NodeMetadata) -> None:
        def done(_: object, error: DkreplError | None) -> None:
            self.target.ending.settled(None if error is None else str(error), store=isinstance(error, StoreError))
            self._perform()

        self.workers.run("commit", lambda: self.intent_store.settle(metadata, self.store), done)

    def _ended(self, action: act.Ended) -> None:
        if action.error is not None:
            self.error = StateDirectoryError(action.error)
        self.unsound = action.unsound
        self.here.loop.stopping = True

    def close(self) -> None:
        """Give everything back."""
        self.here.loop.ignore(self.control_port.fd)
        self._disconnect()
        self.workers.close()
        self.stall.stop()
        self.channel.close()
        self.control_port.close()
        self.intent_store.close()
