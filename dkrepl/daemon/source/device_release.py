"""How a source lets go of its device: it is taken away, or left to the daemon that follows; then the core ends.

A restart by the service manager leaves the device, and its users see a pause. Anything else takes it away
first, so that nothing is written any more.
"""

from __future__ import annotations

from collections.abc import Callable

from dkrepl.config.limits import Limits
from dkrepl.core.source.source import Source
from dkrepl.daemon.outside import Events, Loop, Outside, Workers
from dkrepl.daemon.source.device_requests import DeviceRequests
from dkrepl.daemon.storage import Device


class DeviceRelease:
    """Ends a source from its device on. ``perform`` carries out the core's actions."""

    def __init__(
        self,
        *,
        outside: Outside,
        source: Source,
        requests: DeviceRequests,
        device: Device,
        workers: Workers,
        loop: Loop,
        events: Events,
        perform: Callable[[], None],
        limits: Limits,
    ) -> None:
        self._outside = outside
        self._now = outside.clock.monotonic
        self._source = source
        self._requests = requests
        self._device = device
        self._workers = workers
        self._loop = loop
        self._events = events
        self._perform = perform
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

    def _stop_device(self, restart: bool) -> None:
        if restart:
            self._requests.closed = True
            self._drain_for_successor(self._now() + self._limits.last_requests_seconds)
            return
        users = self._device.users()
        if users:
            self._events.report("device_in_use", "warning", {"users": users, "outcome": "stopping all the same"})
        self._device.detach(lambda free: self._loop.post(lambda: self._detached(free)))

    def _drain_for_successor(self, deadline: float) -> None:
        """When the requests that were taken are complete, or it takes too long, leave the device to the successor."""
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
            self._events.report("device_in_use", "error", {"users": users, "outcome": "its users get I/O errors"})
            self._source.fail_waiting()
            self._perform()
        self._requests.last = True  # users that are still there may ask for more
        if self._requests.zeroing:  # the last flush is for that piece, too
            self._later(lambda: self._detached(True))
            return
        self._source.ending.begin(self._now(), changes_role=self._changes_role)
        self._go_on()

    def _go_on(self) -> None:
        self._source.ending.go_on(self._now())
        self._perform()
        if self._source.ending.stage != "ended":
            self._later(self._go_on)
