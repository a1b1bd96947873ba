"""The device that applications open: FUSE file, loop device, and the link to it; made, taken over, and taken away.

The descriptor of the FUSE connection is kept by the service manager, and the loop device stays attached, when the
daemon dies or is restarted. Its successor takes the connection over, asks the kernel once more for the requests that
are not complete, and goes on: applications see a pause. Where the kernel cannot be asked (before Linux 6.9) only a
predecessor that had completed everything, as before a restart, is taken over from; else the device is made anew and its
users get errors.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.errors import DkreplError, HostError
from dkrepl.io.block import device_link, loop, users
from dkrepl.io.fuse import FuseSession, mount
from dkrepl.io.state.paths import Paths
from dkrepl.io.systemd import fd_store

_SERVED, _DRAINED = "device", "device-drained"  # names of the kept descriptor: with requests on their way, without


def handed_over() -> bool:
    """Whether the service manager gives this process the device of a predecessor."""
    return fd_store.holds(_SERVED, _DRAINED)


def abandon(paths: Paths, mirror: str) -> None:
    """End the device that a predecessor left, for this node is source no more: its users get errors, not silence."""
    held = fd_store.take(_SERVED, _DRAINED)
    for name in (_SERVED, _DRAINED):
        fd_store.forget(name)
    if held is not None:
        os.close(held[1])
    mountpoint = paths.mountpoint(mirror)
    mount.unmount_all(mountpoint)
    for stale in loop.find(mountpoint):
        device_link.remove_link(paths.device(mirror), stale.path)
        stale.detach(timeout=1.0)


class Device:
    """A FUSE session of one file and the loop device on it. The session must be served meanwhile."""

    def __init__(self, paths: Paths, mirror: str, size: int, *, limits: Limits = DEFAULT) -> None:
        """Take over the predecessor's device; if there is none, or it cannot be, make it anew.

        Raises ``HostError``.
        """
        self._limits = limits
        self._mountpoint = paths.mountpoint(mirror)
        self.link = paths.device(mirror)
        self.loop: loop.LoopDevice | None = None
        self.taken_over = False
        self._mountpoint.parent.mkdir(parents=True, exist_ok=True)
        self.session = self._take_over(size) or self._make(size)
        self.kept = fd_store.keep(_SERVED, self.session.fd)
        """Whether the service manager holds the connection for a successor."""

    def _take_over(self, size: int) -> FuseSession | None:
        held = fd_store.take(_SERVED, _DRAINED)
        if held is None:
            return None
        name, fd = held
        attached = loop.find(self._mountpoint)
        if attached:
            try:
                session = FuseSession.adopt(fd, size, self._mountpoint, resend=name == _SERVED)
                self.loop, self.taken_over = attached[0], True
                fd_store.forget(_DRAINED)
                return session
            except HostError:
                pass
        # Once nobody holds the connection its requests fail, and its loop device can go.
        fd_store.forget(_SERVED)
        fd_store.forget(_DRAINED)
        os.close(fd)
        return None

    def _make(self, size: int) -> FuseSession:
        for stale in loop.find(self._mountpoint):
            stale.detach(timeout=1.0)
        if mount.unmount_all(self._mountpoint):
            for stale in loop.find(self._mountpoint):  # one that a killed predecessor was attaching until now
                stale.detach(timeout=1.0)
        self._mountpoint.touch(mode=0o600)
        return FuseSession.mount(self._mountpoint, size)

    def attach(self, done: Callable[[DkreplError | None], None]) -> None:
        """Attach the loop device and make the link, in a thread (it asks the session); then ``done(error)``."""

        def work() -> None:
            try:
                if self.loop is None:
                    self.loop = loop.attach(self._mountpoint)
                device_link.set_link(self.link, self.loop.path)
            except DkreplError as error:
                done(error)
                return
            done(None)

        threading.Thread(target=work, name="attach", daemon=True).start()

    def users(self) -> list[str]:
        """Return who has the device open; empty if nobody."""
        return users.users(self.loop.path) if self.loop else []

    def detach(self, done: Callable[[bool], None]) -> None:
        """Remove the link and detach, in a thread; then ``done(whether nobody had it open any more)``."""

        def work() -> None:
            free = True
            if self.loop is not None:
                device_link.remove_link(self.link, self.loop.path)
                try:
                    free = self.loop.detach(self._limits.detach_seconds)
                except DkreplError:
                    free = False
            done(free)

        threading.Thread(target=work, name="detach", daemon=True).start()

    def leave(self, drained: bool) -> None:
        """Leave the device to a successor; ``drained``: every request that was taken is complete."""
        if drained:
            fd_store.forget(_SERVED)
            fd_store.keep(_DRAINED, self.session.fd)
        self.session.mountpoint = None  # so that closing the session does not unmount
        self.session.close()

    def close(self) -> None:
        """End the session: users that still have the device open get errors from here on."""
        if self.session.fd < 0:
            return
        fd_store.forget(_SERVED)
        self.session.close()
        self._mountpoint.unlink(missing_ok=True)
