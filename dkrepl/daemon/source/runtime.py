"""A node as source: wires the core's source to the device, the store, the intent log and the sockets.

Order of start: metadata, store, intent log (brought up to date), ports, FUSE mount, loop device, link, ready.
Order of stop: link and loop device, last flush, last acks, clean intent log, goodbye, ports, store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, assert_never

from dkrepl.core import actions as act
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.frames import pack_record
from dkrepl.core.source.member import Member
from dkrepl.core.source.publisher import Publisher
from dkrepl.core.source.resync_publisher import ResyncPublisher
from dkrepl.core.source.source import Source
from dkrepl.daemon.intent_store import IntentStore
from dkrepl.daemon.peers.other_sources import OtherSources
from dkrepl.daemon.peers.peer_channel import PeerChannel
from dkrepl.daemon.source.control_links import ControlLinks
from dkrepl.daemon.source.device_release import DeviceRelease
from dkrepl.daemon.source.device_requests import DeviceRequests
from dkrepl.daemon.source.digests import Digests
from dkrepl.daemon.source.resync_reader import ResyncReader
from dkrepl.daemon.surroundings import Surroundings
from dkrepl.errors import DkreplError, StoreError
from dkrepl.io.fuse import SessionEnded

RunState = Literal["Starting", "Serving", "Stopping"]


class SourceRuntime:
    """Feeds the core's source with what happens, and carries out what that asks for.

    It runs until ``stop`` has ended; then ``stopping`` of its loop is set.
    """

    role: Literal["source"] = "source"

    def __init__(self, here: Surroundings, metadata: NodeMetadata) -> None:
        self.here = here
        outside, description, node, limits = here.outside, here.description, here.node.name, here.limits
        store, clock, loop, report = outside.store, outside.clock, here.loop, here.events.report
        self._now = clock.monotonic
        self.store = store
        self.state: RunState = "Starting"
        self.error: DkreplError | None = None
        self._commit_error: DkreplError | None = None  # the newest
        self.intent_store = IntentStore(outside.state, metadata, here.peers, store, report, limits=limits)
        self.session = outside.randomness.session()
        bitmaps = {name: file.bitmap for name, file in self.intent_store.files.items()}
        self.source = Source(
            description,
            node,
            self.intent_store.metadata,
            bitmaps,
            self.intent_store.log,
            self.session,
            outside.randomness.identity,
            wall=clock.wall(),
            limits=limits,
        )
        self.sockets = outside.source_sockets(limits)
        self.channel = PeerChannel(outside.target_sockets(), loop)
        self._other_sources = OtherSources(self.channel, node, description.name, limits=limits)
        self.stall = outside.stall_watch(loop, store.calls, report)
        self._ticked = clock.monotonic()
        self._late = False
        self.digests = Digests()
        self._links = ControlLinks(
            here, source=self.source, sockets=self.sockets, digests=self.digests, perform=self._perform
        )
        self.workers = outside.workers(loop)
        self.publisher = Publisher(self.sockets.publish, self.source.stream, self.session, limits=limits)
        self.device = outside.device(limits)
        self.requests = DeviceRequests(
            self.device.session,
            store,
            self.source,
            self.publisher,
            self.workers,
            report,
            clock,
            limits=limits,
        )
        # A device that was taken over has users already; a new one is asked by the kernel's loop driver first.
        self.requests.attached = self.device.taken_over
        resync_publisher = ResyncPublisher(self.source, self.publisher)
        self._resync_reader = ResyncReader(
            resync_publisher, store, description, self.workers, self._resync_failed, clock, limits=limits
        )
        self._device_release = DeviceRelease(
            outside=outside,
            source=self.source,
            requests=self.requests,
            device=self.device,
            workers=self.workers,
            loop=loop,
            events=here.events,
            perform=self._perform,
            limits=limits,
        )
        self._fuse_watched = False
        self._fuse_busy = False
        self._on_commit: dict[int, list[Callable[[DkreplError | None], None]]] = {}

    @property
    def frames_refused(self) -> int:
        """Control frames that were damaged or made no sense."""
        return self._links.frames_refused

    def start(self, ready: Callable[[], None]) -> None:
        """Begin to serve; ``ready()`` is called once the device is there (or ``error`` is set)."""
        self.here.loop.watch(self.sockets.fd, self._frames_came)
        self._watch_fuse()
        self.stall.start()

        def attached(error: DkreplError | None) -> None:
            if error is not None:
                self.error = error
                self.here.loop.stopping = True
            else:
                self.state = "Serving"
                self.requests.attached = True
                fields: dict[str, object] = {"device": str(self.device.link), "taken_over": self.device.taken_over}
                self.here.events.report("device_ready", fields=fields)
            ready()

        self.device.attach(lambda error: self.here.loop.post(lambda: attached(error)))

    def renew_keys(self) -> None:
        """The peers' keys have changed: who came in by one that is no more has to go."""
        self.sockets.tend()
        self.channel.renew_keys()
        self.stall.renew_keys()

    # --- one round of the loop -----------------------------------------------------------------------

    def step(self) -> None:
        """What every round does after the descriptors: control frames, resync, commits, actions."""
        sockets, source = self.sockets, self.source
        if sockets.unasked:
            for _ in range(self.here.limits.control_frames_a_round):
                received = sockets.receive()
                if received is None:
                    break
                if received[0]:
                    self._links.take(*received)
                # At once, for it may be what an application waits for; only then see whether there is more.
                self.requests.complete()
        more = False
        if any(view.resync is not None for view in source.stream.members):
            more = self._resync_reader.step(self._fuse_busy)
        self._fuse_busy = False
        if source.entering.filling:
            source.entering.fill_step()
        if source.activity_log.wanted or (source.stream.hold and source.stream.waiting):
            source.commits.plan(self._now())
        if source.actions:
            self._perform()
        if self.requests.full == self._fuse_watched:
            self._watch_fuse()
        self.here.loop.busy = more or sockets.unasked or source.entering.filling

    def tick(self) -> None:
        """Let time pass."""
        self.sockets.tend()
        now, source = self._now(), self.source
        late, self._ticked = now - self._ticked > self.here.description.peer_timeout / 2, now
        self._late = late and not self._late
        if self._late:
            # The loop stood still: what the peers have said meanwhile is taken before they count as silent (R13).
            self.sockets.unasked = self.here.loop.busy = True
            return
        source.tick(now, wall=self.here.outside.clock.wall(), stalled=self.stall.worker_seconds(now))
        absent = [view.name for view in source.views.values() if view.state in ("Disconnected", "Refused")]
        source.on_answers(self._other_sources.tick(now, source.metadata.mirror_id, absent))
        self._perform()
        self.requests.complete()

    def _frames_came(self) -> None:
        self.sockets.unasked = True

    def _watch_fuse(self) -> None:
        fd = self.device.session.fd
        if self.requests.full:
            self.here.loop.ignore(fd)
        else:
            self.here.loop.watch(fd, self._fuse_ready)
        self._fuse_watched = not self.requests.full

    def _fuse_ready(self) -> None:
        self._fuse_busy = True
        try:
            self.requests.drain()
        except SessionEnded:
            # A device that was taken over: its mount went with the predecessor's namespace, so the loop device was the
            # last that used it, and the kernel ends the session as soon as that is detached.
            if self.state != "Stopping":
                raise
            self.requests.closed = True

    # --- the core's actions --------------------------------------------------------------------------

    def _perform(self) -> None:
        todo = self.source.actions
        while todo:
            self._carry_out(todo.pop(0))

    def _carry_out(self, action: act.SourceAction) -> None:
        match action:
            case act.Send():
                self._links.send(action.peer, action.message)
            case act.Commit():
                self._commit(action)
            case act.PublishMarker():
                view = self.source.views[action.peer]
                record = pack_record(action.op, action.length, action.offset)
                self.publisher.single(frames.MARKER, view.settings, view.epoch, action.number, record)
            case act.PublishGeneration():
                self.publisher.generation(action.seq, action.generation, action.members)
            case act.PublishFlush():
                self.publisher.flush_record(action.seq)
            case act.FlushStore():
                self._flush_store(action.number)
            case act.Ended():
                self._ended(action)
            case act.QuorumChanged():
                self.requests.quorum_changed()
            case act.Event():
                self.here.events.report(action.name, action.level, action.fields)
            case _:
                assert_never(action)

    def _commit(self, commit: act.Commit) -> None:
        def done(_: object, error: DkreplError | None) -> None:
            now = self._now()
            if error is None:
                self.source.commits.committed(commit.number, now)
            else:
                self._commit_error = error
                if isinstance(error, StoreError):
                    self.source.store_verdict.flush_failed(str(error), now)
                if self.source.commits.failed(commit.number, str(error), now):
                    self.requests.fail_waiting(str(error))
            self._perform()
            self.requests.retry_waiting()
            self.source.commits.plan(now)
            self._perform()
            for then in self._on_commit.pop(commit.number, ()):
                then(error)

        self.workers.run("commit", lambda: self.intent_store.commit(commit, self.store), done)

    def when_committed(self, number: int, then: Callable[[DkreplError | None], None]) -> None:
        """Call ``then`` in the loop once this commit, which has just been begun, is durable, or with why it is not."""
        self._on_commit.setdefault(number, []).append(then)
        self._perform()

    def _resync_failed(self, member: Member, error: DkreplError) -> None:
        self.requests.store_error = str(error)
        self.here.events.report("store_failed", "error", {"reason": str(error), "target": member.name})
        self.source.resyncs.cannot_copy(member.name, str(error), self._now())

    # --- the end -------------------------------------------------------------------------------------

    def stop(self, changes_role: bool = False) -> None:
        """Begin a clean stop; may be called once. For a restart the device is left to the successor.

        ``changes_role``: another role follows in this process.
        """
        self.state = "Stopping"
        self._device_release.begin(changes_role)

    @property
    def drained(self) -> dict[str, int]:
        """The targets that had everything at the end, and their epochs."""
        return self.source.ending.drained

    @property
    def unrecorded(self) -> str:
        """Why a flush of the store failed, if that could not be recorded before the end."""
        return self.source.ending.unrecorded

    def _flush_store(self, seq: int) -> None:
        def done(_: object, error: DkreplError | None) -> None:
            self.source.last_flush_ended(seq, None if error is None else str(error), self._now())
            self._perform()

        self.workers.run("flush", self.store.sync, done)

    def _ended(self, action: act.Ended) -> None:
        if action.error is not None:
            known = self._commit_error is not None and str(self._commit_error) == action.error
            self.error = self._commit_error if known else DkreplError(action.error)
        self.here.loop.ignore(self.device.session.fd)
        self.device.close()
        self.here.loop.stopping = True

    def close(self) -> None:
        """Give everything back. A device that is still there is left to a successor, if the manager keeps it."""
        self.here.loop.ignore(self.device.session.fd)
        self.here.loop.ignore(self.sockets.fd)
        if self.device.kept and self.device.session.fd >= 0:
            self.device.leave(drained=False)
        self.device.close()
        self.workers.close()
        self.stall.stop()
        self.channel.close()
        self.sockets.close()
        self.intent_store.close()
