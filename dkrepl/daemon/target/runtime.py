"""A node as target: applies the stream to the store, in order, and confirms what is applied and what is durable.

A flush in the stream is a barrier here too (rule R3): nothing after it is applied until everything before it is on
stable storage. Without flushes the store is flushed all the same, every so often, so that the source's bitmap clears.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Literal

import msgspec
from xxhash import xxh3_128_hexdigest

from dkrepl import __version__
from dkrepl.config.description import Description, Node
from dkrepl.core import actions as act
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.lineage.role_records import as_source
from dkrepl.core.protocol import frames, messages
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.target.target import Target
from dkrepl.daemon.events import EventLog
from dkrepl.daemon.intent_store import IntentStore
from dkrepl.daemon.peers.door import Door, node_identity
from dkrepl.daemon.peers.peer_poll import PeerPoll
from dkrepl.daemon.peers.stall_watch import StallWatch
from dkrepl.daemon.reactor import Reactor
from dkrepl.daemon.target.applier import Applying
from dkrepl.daemon.workers import Workers
from dkrepl.errors import DkreplError, MetadataError, ProtocolError, StoreError
from dkrepl.io.net.access import Access
from dkrepl.io.net.target_sockets import TargetSockets
from dkrepl.io.state.paths import Paths
from dkrepl.io.store import diverged, diverged_copy
from dkrepl.io.store.store import BackingStore

_MESSAGES_A_ROUND = 64
_FLUSH_SECONDS = 0.5  # an unflushed write waits no longer than this for a flush to begin
_FLUSH_BYTES = 32 << 20  # nor than until so many bytes are unflushed
_FLUSH_RESYNC = 16  # nor a resync than until so many of its messages are: the source sends no more than 32 to 64 before
_HANDOVER = 60.0  # seconds that an heir has to take over
_WINDOW_PART = 8  # an async target confirms at the latest when this part of its window is unconfirmed
_CONFIRM_SECONDS = 0.02  # or after this time, at the next round of the loop

RunState = Literal["Starting", "Serving", "Stopping"]


class TargetRuntime:
    """Runs until ``stop`` has ended; then ``reactor.stopping`` is set."""

    role: Literal["target"] = "target"

    def __init__(
        self,
        paths: Paths,
        description: Description,
        node: Node,
        metadata: NodeMetadata,
        store: BackingStore,
        reactor: Reactor,
        events: EventLog,
        access: Access,
    ) -> None:
        if store.size < description.size:
            raise StoreError(
                f"the store {store.path} has {store.size} bytes, the mirror needs {description.size}; use a larger one"
            )
        self.description = description
        self.node = node
        self.store = store
        self.reactor = reactor
        self.events = events
        self.access = access
        self.state: RunState = "Starting"
        self.error: DkreplError | None = None
        self.becomes: Callable[[NodeMetadata], NodeMetadata] | None = None  # done to the record at the end
        peers = [peer.name for peer in description.peers(node.name)]
        state_dir, memory = paths.state_dir(description.name), paths.bits_memory(description.name)
        self.intent_store = IntentStore(state_dir, memory, metadata, peers, store, events.report)
        bitmaps = {name: file.bitmap for name, file in self.intent_store.files.items()}
        self.target = Target(description, node.name, self.intent_store.metadata, bitmaps, __version__, time.monotonic())
        self._began = time.monotonic()
        self.polls: list[PeerPoll] = []
        self._candidacies = 0  # promotions under way; one that has succeeded stays
        self.descriptions: dict[str, messages.Described] = {}  # what the peers said of theirs
        self.door = Door(
            description, node, self._offer, "target", self._copy, access, self._source_stalled, self._asked
        )
        self.stall = StallWatch(description, node, access, reactor, store.calls, events.report)
        self._ticked = time.monotonic()
        self._late = False
        try:
            self.sockets = TargetSockets(description, node, access)
        except BaseException:
            self.door.close()
            raise
        self.frames_refused = 0
        self.applied_bytes = 0
        self.resync_bytes = 0
        self._state_dir = paths.state_dir(description.name)
        self.diverged = self._found_kept()  # what was saved aside before it was replaced
        self._unsettled = any(not one.settled for one in self.diverged)
        self._workers = Workers(reactor)
        self._applying = Applying(store, self.target.peer_bitmaps, self._workers, self._applied_later)
        self._left_since = False  # whether the stream was left since the last message was taken
        self._after_applying: list[Callable[[], None]] = []
        self._reading = False  # for a verify
        self._stream_fds: list[int] = []
        self._flushing = False
        self._barrier = False  # a flush of the stream is on its way
        self._broken = False  # the stream's connection was lost, and what had arrived before is still being taken
        self._control_came = True
        self._joined = 0  # the epoch that the following belongs to
        self._durable = (0, 0)  # (seq, resync seq) on stable storage
        self._confirmed = (0, 0, 0, 0)
        self._unflushed = 0  # bytes
        self._unconfirmed = 0  # bytes
        self._confirmed_at = 0.0
        self._flushed_at = 0.0
        self._bad_frame_told = 0.0

    def start(self, ready: threading.Event) -> None:
        """Begin to look for the source."""
        for fd in (*self.sockets.fds, self.door.fd):
            self.reactor.watch(fd, self._control_signalled)
        self.stall.start()
        self.state = "Serving"
        ready.set()

    def renew_keys(self) -> None:
        """The peers' keys have changed."""
        for fd in self.sockets.fds:
            self.reactor.ignore(fd)
        self.sockets.renew()
        self.stall.renew_keys()
        for fd in self.sockets.fds:
            self.reactor.watch(fd, self._control_signalled)
        self._control_came = True

    # --- one round of the loop -----------------------------------------------------------------------

    def step(self) -> None:
        """What every round does after the descriptors: control frames, the stream, flushes, confirmations."""
        target = self.target
        if self._control_came:
            self._control_came = False
            self.door.answer()
            for peer in self.sockets.control:
                while (frame := self.sockets.receive(peer)) is not None:
                    self._take_frame(peer, frame)
            self._broken = self.sockets.broken() or self._broken
            if target.inherits is not None and self.state == "Serving":
                self._inherit(target.inherits)
        more = self._take_messages()
        if self._broken and not more and not self._blocked:
            # Only now, for what had arrived may be all that is left of the source.
            self._broken = False
            target.stream_lost(time.monotonic())
        if target.joined:
            self._confirm()
            self._flush_if_due()
        if target.goes_on:
            target.go_on()
        if target.actions:
            self._perform()
        self.reactor.busy = more or target.goes_on

    def _control_signalled(self) -> None:
        self._control_came = True

    def tick(self) -> None:
        """Let time pass."""
        # Sending a confirmation may use up the signal of a frame that came; it is not looked for until now.
        self._control_came = True
        now = time.monotonic()
        late, self._ticked = now - self._ticked > self.description.peer_timeout / 2, now
        self._late = late and not self._late
        if self._late:
            # The loop stood still: what the source has said meanwhile is taken before it counts as silent (R13).
            return
        self.target.stalled = self.stall.worker_seconds(now)
        if self.target.joined and time.monotonic() - self._confirmed_at > self.description.peer_timeout / 5:
            self._confirmed = (
                0,
                0,
                0,
                0,
            )  # said again: the last one may have been lost while its connection was renewed
            self._confirm()
        self.target.tick(time.monotonic())
        self._perform()
        if self._unsettled and self.target.state == "InSync" and self.state == "Serving":
            self._settle_kept()

    @property
    def durable_seq(self) -> int:
        """The newest seq that is on stable storage here."""
        return self._durable[0]

    @property
    def _blocked(self) -> bool:
        return self._barrier or self._reading or self._applying.under_way or self.target.barrier

    def _take_messages(self) -> bool:
        """Apply what has arrived; returns whether there may be more to take at once."""
        for _ in range(_MESSAGES_A_ROUND):
            if self._blocked:
                return False
            received = self.sockets.next_message()
            if received is None:
                return False
            try:
                message = frames.parse_stream(*received, self.description.size)
            except ProtocolError as error:
                self._refused(str(error))
                continue
            self._take(message)
            if self.target.actions:
                self._perform()
            if self.target.joined:
                self._confirm()  # at once, for an application may wait for it; only then see whether there is more
        return True

    def _take(self, message: frames.StreamMessage) -> None:
        target = self.target
        verdict = target.admit(message, time.monotonic())
        if target.joined and self._joined != target.epoch:
            self._joined, self._durable = target.epoch, (target.applied, 0)
        if verdict != "apply":
            return
        self._left_since = False
        if message.kind == frames.MARKER:
            self._digest(message)
            return
        try:
            if not self._applying.apply(message):
                return
        except StoreError as error:
            target.store_failed(str(error), time.monotonic())
            return
        self._did_apply(message)

    def _applied_later(self, message: frames.StreamMessage, error: DkreplError | None) -> None:
        """A message with slow records is done; it counts if this node is still at that place of the stream."""
        target = self.target
        here = target.joined and target.session == message.session and target.epoch == self._joined
        if here and error is not None:
            target.store_failed(str(error), time.monotonic())
        elif here and not self._left_since:
            self._did_apply(message)
        elif error is not None:
            self.events.report("store_failed", "error", {"reason": str(error)})
        self._perform()
        for then in self._after_applying:
            then()
        self._after_applying.clear()

    def _did_apply(self, message: frames.StreamMessage) -> None:
        target = self.target
        size = len(message.data)
        self._unflushed += size
        self._unconfirmed += size
        self.applied_bytes += size
        if message.kind == frames.RESYNC:
            self.resync_bytes += size
        if target.did_apply(message) and not target.barrier:
            self._barrier = True
            if not self._flushing:
                self._flush()

    def _digest(self, message: frames.StreamMessage) -> None:
        """Answer with the checksum of a range as it is at this place of the stream (verify)."""
        _, length, offset = message.records[0]

        def done(value: str | None, error: DkreplError | None) -> None:
            self._reading = False
            target = self.target
            if not target.joined or target.epoch != message.epoch:
                return
            if value is None:
                target.store_failed(str(error), time.monotonic(), damaged=False)
                self._perform()
            elif target.source:
                answer = messages.Digest(message.epoch, message.first, value)
                self.sockets.send(target.source, messages.encode(answer))

        self._reading = True  # nothing is applied meanwhile, and the loop waits for no disk (R13)
        self._workers.run("read", lambda: xxh3_128_hexdigest(self.store.read(offset, length)), done)

    def _confirm(self) -> None:
        """Report the source what is applied and durable, if that has changed. One frame for a whole round."""
        target = self.target
        state = (target.applied, self._durable[0], target.resync_applied, self._durable[1])
        if state != self._confirmed and target.source and not target.barrier:
            if state[1:] == self._confirmed[1:] and self._may_wait(state[0]):
                return
            self._confirmed = state
            self._confirmed_at = time.monotonic()
            self._unconfirmed = 0
            applied, durable, resync_applied, resync_durable = state
            ack = frames.Ack(target.epoch, target.session, applied, durable, resync_applied, resync_durable)
            self.sockets.send(target.source, frames.pack_ack(ack))

    def _may_wait(self, applied: int) -> bool:
        """Whether a confirmation of live writes can wait for more of them: nobody waits for an async target's
        while its window is far from full, and each one wakes the source."""
        return (
            self.node.mode == "async"
            and applied - self._confirmed[0] < self.node.async_limit // _WINDOW_PART
            and self._unconfirmed < self.description.window // _WINDOW_PART
            and time.monotonic() - self._confirmed_at < _CONFIRM_SECONDS
        )

    # --- flushes -------------------------------------------------------------------------------------

    def _flush_if_due(self) -> None:
        if self._flushing or self._blocked or self._durable == (self.target.applied, self.target.resync_applied):
            return
        if (
            self._unflushed >= _FLUSH_BYTES
            or self.target.resync_applied - self._durable[1] >= _FLUSH_RESYNC
            or time.monotonic() - self._flushed_at >= _FLUSH_SECONDS
        ):
            self._flush()

    def _flush(self) -> None:
        self._flushing = True
        target = self.target
        epoch, position = target.epoch, (target.applied, target.resync_applied)
        barrier = self._barrier
        self._unflushed = 0

        def done(_: object, error: DkreplError | None) -> None:
            self._flushing = False
            self._flushed_at = time.monotonic()
            same = target.joined and target.epoch == epoch
            if error is not None:
                # Even if it has left that stream: writes that it confirmed as applied there may be lost (R15).
                target.store_failed(str(error), time.monotonic())
                self._perform()
                return
            if same:
                self._is_durable(position)
            if self._barrier and not (same and barrier):
                self._flush()  # the barrier came while this flush was running
            else:
                self._barrier = False

        self._workers.run("flush", self.store.sync, done)

    def _is_durable(self, position: tuple[int, int]) -> None:
        """A flush that began at ``position`` has ended; one that began later may have ended before it."""
        self._durable = (max(self._durable[0], position[0]), max(self._durable[1], position[1]))

    # --- control frames and actions ------------------------------------------------------------------

    def _take_frame(self, peer: str, frame: bytes) -> None:
        try:
            message = messages.decode(frame)
        except ProtocolError as error:
            self._refused(str(error), peer)
            return
        if isinstance(message, messages.Described):
            self.descriptions[peer] = message
        elif isinstance(message, messages.Answer):
            for poll in self.polls:
                poll.on_answer(peer, message)
            if message.node == peer:
                self.target.on_answer(message, time.monotonic())
                self._perform()
        elif not isinstance(message, frames.Ack):
            if self._applying.under_way and isinstance(message, messages.Positions):
                return  # it would unmark blocks that are being changed; the source repeats it (R8)
            self.target.on_message(peer, message, time.monotonic())
            self._perform()

    def _source_stalled(self, message: messages.Stalled) -> None:
        self.target.on_message(message.node, message, time.monotonic())
        self._perform()

    def _asked(self, ask: messages.Ask) -> str:
        vote = self.target.on_ask(ask, time.monotonic())
        self._perform()
        return vote

    def stand(self, force: bool) -> None:
        """This node is being promoted: it follows nobody meanwhile, and votes for itself (R11)."""
        self._candidacies += 1
        self.target.stand(time.monotonic(), force)
        self._perform()

    def stand_again(self, force: bool) -> None:
        """As ``stand``, of the same promotion: what kept it from standing may have passed."""
        self.target.stand(time.monotonic(), force)
        self._perform()

    def outbid(self, seen: Collection[Ballot]) -> None:
        """Go on as a candidate, under a ballot newer than those ``seen``."""
        self.target.outbid(time.monotonic(), seen)
        self._perform()

    @property
    def stands(self) -> Ballot | None:
        """The ballot under which this node is a candidate, once that is recorded."""
        return self.target.stands

    def stand_down(self) -> bool:
        """A promotion was refused: withdraw the vote for itself, unless another promotion is under way."""
        self._candidacies = max(0, self._candidacies - 1)
        if not self._candidacies:
            self.target.stand_down()
        return not self._candidacies

    def _copy(self) -> messages.Copy:
        return self.target.copy(time.monotonic())

    def facts(self) -> messages.Answer:
        """What this node says of itself: a source that it heard counts as alive until it is known not to be."""
        copy = msgspec.structs.replace(self._copy(), hears=self.target.source or "")
        vote = self.target.vote(time.monotonic())
        return node_identity(self._offer(), "target", self.node.name, 0, copy, self.description, vote)

    def ask_peer(self, peer: str, question: messages.Ask | messages.Describe) -> None:
        """Ask a peer who it is and what it holds, or what its description says; ``polls``, ``descriptions`` get it."""
        self.sockets.send(peer, messages.encode(question))

    def _refused(self, reason: str, peer: str | None = None) -> None:
        self.frames_refused += 1
        now = time.monotonic()
        if now - self._bad_frame_told > 1.0:
            self._bad_frame_told = now
            self.events.report(
                "frame_refused", "warning", {"peer": peer, "reason": reason, "count": self.frames_refused}
            )
        if peer is None:
            self.target.bad_frame(reason, now)

    def _perform(self) -> None:
        todo = self.target.actions
        while todo:
            action = todo.pop(0)
            if isinstance(action, act.Send):
                self.sockets.send(action.peer, messages.encode(action.message))
            elif isinstance(action, act.Connect):
                self._connect(action)
            elif isinstance(action, act.Disconnect):
                self._disconnect()
            elif isinstance(action, act.Commit):
                self._commit(action)
            elif isinstance(action, act.SaveDiverged):
                self._save_diverged(action.peer)
            elif isinstance(action, act.Event):
                self.events.report(action.name, action.level, action.fields)

    def _save_diverged(self, peer: str) -> None:
        """Copy the blocks that only this node has to a file, before ``peer`` replaces them (R7)."""
        mirror, block = self.description.name, self.description.block
        generation = self.target.metadata.generation
        bitmap = self.target.peer_bitmaps.bitmaps[peer]
        bitmap.count()  # up to date, and nothing marks or clears while blocks are saved aside: so a thread may read it

        def keep() -> diverged.Saved:
            # Not in the loop: there may be as many runs as blocks (R13).
            runs = ((first * block, (end - first) * block) for first, end in bitmap.runs())
            return diverged_copy.save(
                self._state_dir, self.store, mirror, self.description.size, generation, peer, runs
            )

        def done(kept: diverged.Saved | None, error: DkreplError | None) -> None:
            if kept is not None:
                self._unsettled = True
                self.diverged = [*self.diverged, kept]
                fields: dict[str, object] = {"name": kept.name, "bytes": kept.length, "replaced_by": peer}
                self.events.report("diverged_saved", "warning", fields)
            elif error is not None:
                self.events.report("diverged_not_saved", "error", {"replaced_by": peer, "reason": str(error)})
            self.target.diverged_saved(peer, None if error is None else str(error), time.monotonic())
            self._perform()

        self._workers.run("read", keep, done)

    def _settle_kept(self) -> None:
        """In sync again: of what was saved aside, only what has really been replaced by something else stays."""

        def done(kept: list[diverged.Saved] | None, error: DkreplError | None) -> None:
            if error is not None:
                self.events.report("diverged_not_settled", "warning", {"reason": str(error)})
            elif kept is not None:
                self.diverged = kept
                fields: dict[str, object] = {
                    "names": [one.name for one in kept],
                    "bytes": sum(one.length for one in kept),
                }
                self.events.report("diverged_settled", "warning" if kept else "info", fields)

        self._unsettled = False
        self._workers.run("read", lambda: diverged_copy.settle(self._state_dir, self.store), done)

    def _connect(self, action: act.Connect) -> None:
        self._disconnect()
        self._confirmed = (0, 0, 0, 0)
        self._stream_fds = self.sockets.subscribe(
            action.peer, frames.topics_of(action.group, action.slot, frames.SLOTS)
        )
        stream, monitor = self._stream_fds
        self.reactor.watch(stream, lambda: None)
        self.reactor.watch(monitor, self._control_signalled)

    def _disconnect(self) -> None:
        for fd in self._stream_fds:
            self.reactor.ignore(fd)
        self._stream_fds = []
        self._barrier = self._broken = False
        self._left_since = True
        self._applying.leave()
        self.sockets.unsubscribe()

    def _commit(self, commit: act.Commit) -> None:
        target = self.target
        epoch, position = target.epoch, (target.applied, target.resync_applied)

        def done(_: object, error: DkreplError | None) -> None:
            now = time.monotonic()
            if error is not None:
                target.commit_failed(commit.number, str(error), now)
                if isinstance(error, StoreError):
                    target.store_failed(str(error), now)
            else:
                if commit.sync_store and target.joined and target.epoch == epoch:
                    self._is_durable(position)
                target.committed(commit.number, now)
            self._perform()
            if target.stands is not None:
                for poll in self.polls:
                    poll.ask()  # for votes now

        self._workers.run("commit", lambda: self.intent_store.commit(commit, self.store), done)

    # --- the end -------------------------------------------------------------------------------------

    def _found_kept(self) -> list[diverged.Saved]:
        """What lies aside from before; that one of these files cannot be read is no reason not to run."""
        try:
            return diverged.found(self._state_dir)
        except MetadataError as error:
            self.events.report("diverged_not_settled", "warning", {"reason": str(error)})
            return []

    def yield_to(self, node: str, mode: Literal["keep", "discard"]) -> None:
        """Let what this node alone has be replaced by what ``node`` has; ``mode``: keep it aside before, or not."""
        self.target.yield_to(node, mode)
        self._perform()

    def _offer(self) -> NodeMetadata:
        """The record as the door may tell it: a handover that was not taken up soon is void (R7)."""
        metadata = self.target.metadata
        follows = self.target.source is not None and self.target.state != "Refused"
        if metadata.heir and (follows or time.monotonic() - self._began > _HANDOVER):
            metadata = msgspec.structs.replace(metadata, heir="", heir_epoch=0)
        return metadata

    def _inherit(self, former: str) -> None:
        """The former source has handed the mirror over to this node: be source."""
        self.becomes = lambda metadata: as_source(metadata, metadata.mirror_id, metadata.ballot)
        self.events.report("role_changes", fields={"role": "source", "reason": f"{former} has handed over"})
        self.stop()

    def stop(self) -> None:
        """Begin a clean stop: flush, say goodbye."""
        if self.state == "Stopping":
            return
        self.state = "Stopping"

        def synced(_: object, error: DkreplError | None) -> None:
            if error is not None:
                self._end_unsound(error, goodbye)
                return
            if self.target.joined and not self._blocked:
                self._durable = (self.target.applied, self.target.resync_applied)
                self._confirm()
            goodbye()

        def goodbye() -> None:
            if self.target.source:
                self.sockets.send(self.target.source, messages.encode(messages.Bye(self.node.name)))
            self.reactor.stopping = True

        def settled(_: object, error: DkreplError | None) -> None:
            if isinstance(error, StoreError):
                self._end_unsound(error, goodbye)
                return
            if error is not None:
                self.events.report("commit_failed", "error", {"reason": str(error)})
            self._workers.run("flush", self.store.sync, synced)

        def settle(_: object, __: DkreplError | None) -> None:
            self._workers.run("commit", lambda: self.intent_store.settle(self.target.metadata, self.store), settled)

        def end() -> None:
            self._disconnect()  # nothing more is applied, so the flush covers it all
            self.target.end()
            self._workers.run("commit", lambda: None, settle)  # after what is on its way, which may fail

        if self._applying.under_way:
            self._after_applying.append(end)  # a message is applied as a whole
        else:
            end()

    def _end_unsound(self, why: DkreplError, then: Callable[[], None]) -> None:
        """The last flush failed: what was applied may be lost, so this node must not be source; recorded (R15)."""
        self.events.report("store_failed", "error", {"reason": str(why)})
        record = msgspec.structs.replace(self.target.metadata, store_state="Inconsistent")

        def recorded(_: object, error: DkreplError | None) -> None:
            if error is not None:
                self.error = error
            if self.becomes is not None:
                self.becomes = lambda metadata: metadata  # it goes on as a target
            then()

        work = act.Commit(0, metadata=record)
        self._workers.run("commit", lambda: self.intent_store.commit(work, self.store), recorded)

    def close(self) -> None:
        """Give everything back."""
        for fd in (*self.sockets.fds, self.door.fd):
            self.reactor.ignore(fd)
        self._disconnect()
        self._workers.close()
        self.stall.stop()
        self.sockets.close()
        self.door.close()
        self.intent_store.close()
