"""How a source ends: device away, last flush, last acks, clean activity log, goodbye; or the device is left.

A restart by the service manager leaves the device, and whoever has it open sees a pause. Anything else takes it away
first, so that nothing is written any more; then what was written is made durable where it must be.
"""

from __future__ import annotations

from collections.abc import Callable

from dkrepl.config.limits import Limits
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.frames import pack_record
from dkrepl.core.source.source import Source
from dkrepl.daemon.outside import Events, Loop, Outside, Workers
from dkrepl.daemon.source.publisher import Publisher
from dkrepl.daemon.source.requests import Requests
from dkrepl.daemon.storage import Device
from dkrepl.errors import DkreplError


class Ending:
    """``perform`` carries out the core's actions; ``when_recorded(then)`` calls ``then`` when every commit has ended.

    ``goodbye`` tells the peers; ``ended(recorded)`` is called at the end: whether a failed flush is on record, or will
    be with the next role (R15).
    """

    def __init__(
        self,
        *,
        outside: Outside,
        source: Source,
        requests: Requests,
        publisher: Publisher,
        device: Device,
        workers: Workers,
        loop: Loop,
        events: Events,
        perform: Callable[[], None],
        when_recorded: Callable[[Callable[[], None]], None],
        goodbye: Callable[[], None],
        ended: Callable[[bool], None],
        limits: Limits,
    ) -> None:
        self.drained: dict[str, int] = {}
        """The targets that had everything at the end, and their epochs."""
        self.unrecorded = ""
        """Why a flush of the store failed, if that could not be recorded."""
        self._outside = outside
        self._now = outside.clock.monotonic
        self._source = source
        self._requests = requests
        self._publisher = publisher
        self._device = device
        self._workers = workers
        self._loop = loop
        self._events = events
        self._perform = perform
        self._when_recorded = when_recorded
        self._goodbye = goodbye
        self._ended = ended
        self._limits = limits
        self._changes_role = False

    def begin(self, changes_role: bool) -> None:
        """Begin; ``changes_role``: another role follows in this process, so the device is not left to a successor."""
        self._changes_role = changes_role
        if not changes_role and self._device.kept:
            # The manager is asked in a thread, for whatever it needs may lie on the device that is served here.
            self._workers.run("read", self._outside.is_restart, lambda restart, _: self._stop_device(bool(restart)))
        else:
            self._stop_device(restart=False)

    def _later(self, work: Callable[[], None]) -> None:
        self._loop.later(self._limits.poll_seconds, work)

    # --- the device --------------------------------------------------------------------------------------

    def _stop_device(self, restart: bool) -> None:
        if restart:
            self._requests.closed = True
            self._drain_for_successor(self._now() + self._limits.last_answers_seconds)
            return
        users = self._device.users()
        if users:
            self._events.report("device_in_use", "warning", {"users": users, "outcome": "stopping all the same"})
        self._device.detach(lambda free: self._loop.post(lambda: self._detached(free)))

    def _drain_for_successor(self, deadline: float) -> None:
        """When the requests that were taken are answered, or it takes too long, leave the device to the successor."""
        if not self._requests.idle and self._now() < deadline:
            self._later(lambda: self._drain_for_successor(deadline))
            return
        self._loop.ignore(self._device.session.fd)
        self._device.leave(drained=self._requests.idle)
        self._events.report("device_handed_over", fields={"device": str(self._device.link)})
        self._loop.stopping = True

    def _detached(self, free: bool) -> None:
        if not free:
            users = self._device.users()
            self._events.report("device_in_use", "error", {"users": users, "outcome": "its users get errors"})
            self._source.quorum.refuse = True  # what waits for more copies has waited long enough
            self._requests.quorum_changed()
        if self._requests.emptying:  # the last flush is for that piece, too
            self._requests.last = True
            self._later(lambda: self._detached(True))
            return
        self._flush()

    # --- what was written --------------------------------------------------------------------------------

    def _flush(self) -> None:
        stream = self._source.stream
        seq = stream.control_record()
        self._publisher.add(seq, pack_record(frames.FLUSH, 0, 0), None)
        self._publisher.flush()
        deadline = self._now() + self._limits.last_acks_seconds

        def synced(_: object, error: DkreplError | None) -> None:
            if error is None:
                self._source.store_synced(seq)
            else:
                self._events.report("store_failed", "error", {"reason": str(error)})
                self._source.local_sync_failed(str(error), self._now())
                self._perform()
            wait()

        def wait() -> None:
            if all(member.durable >= seq for member in stream.members) or self._now() > deadline:
                self._say_goodbye()
            else:
                self._later(wait)

        self._workers.run("flush", self._outside.store.sync, synced)

    def _say_goodbye(self) -> None:
        source = self._source
        if source.activity_log.committing or self._requests.emptying:
            self._later(self._say_goodbye)
            return
        source.plan(self._now(), everything=True)
        seq = source.stream.log.seq
        self.drained = {
            member.name: member.epoch
            for member in source.stream.members
            if member.in_sync_at is not None and member.durable == seq
        }
        source.ending = True  # the heir's epoch must stay the one that is recorded
        source.send_positions()  # so that those that have everything mark nothing for each other
        self._goodbye()
        self._record_verdict(self._now() + self._limits.last_record_seconds)

    def _record_verdict(self, deadline: float) -> None:
        """End once a flush that failed is on record: what follows, in another role too, must know of it (R15)."""
        verdict = self._source.store_verdict

        def recorded() -> None:
            if not verdict.unrecorded:
                self._ended(True)
            elif self._now() < deadline:
                self._later(lambda: self._record_verdict(deadline))
            elif self._changes_role:
                self.unrecorded = self._source.metadata.store_failed  # recorded with the new role, or that is not taken
                self._ended(True)
            else:
                self._ended(False)

        verdict.record_again()
        # Commits are carried out one after the other: when this one is done, all are.
        self._when_recorded(recorded)
