"""The device that applications open: FUSE file, loop device, and the link to it; made, and taken away."""

from __future__ import annotations

import threading
from collections.abc import Callable

from dkrepl.core.errors import DkreplError
from dkrepl.io import inuse, loop
from dkrepl.io.fuse import FuseSession, mount
from dkrepl.io.paths import Paths

DETACH_SECONDS = 10.0


class Device:
    """A FUSE session of one file and the loop device on it. The session must be served meanwhile."""

    def __init__(self, paths: Paths, mirror: str, size: int) -> None:
        """Mount the file; whatever a dead predecessor left is taken away first. Raises ``HostError``."""
        self._mountpoint = paths.mountpoint(mirror)
        self.link = paths.device(mirror)
        self.loop: loop.LoopDevice | None = None
        self._mountpoint.parent.mkdir(parents=True, exist_ok=True)
        for stale in loop.find(self._mountpoint):
            stale.detach(timeout=1.0)
        mount.unmount_all(self._mountpoint)
        self._mountpoint.touch(mode=0o600)
        self.session = FuseSession.mount(self._mountpoint, size)

    def attach(self, done: Callable[[DkreplError | None], None]) -> None:
        """Attach the loop device and make the link, in a thread (it asks the session); then ``done(error)``."""

        def work() -> None:
            try:
                self.loop = loop.attach(self._mountpoint)
                loop.set_link(self.link, self.loop.path)
            except DkreplError as error:
                done(error)
                return
            done(None)

        threading.Thread(target=work, name="attach", daemon=True).start()

    def users(self) -> list[str]:
        """Return who has the device open; empty if nobody."""
        return inuse.users(self.loop.path) if self.loop else []

    def detach(self, done: Callable[[bool], None]) -> None:
        """Remove the link and detach, in a thread; then ``done(whether nobody had it open any more)``."""

        def work() -> None:
            free = True
            if self.loop is not None:
                loop.remove_link(self.link, self.loop.path)
                try:
                    free = self.loop.detach(DETACH_SECONDS)
                except DkreplError:
                    free = False
            done(free)

        threading.Thread(target=work, name="detach", daemon=True).start()

    def close(self) -> None:
        """End the session: whoever still has the device open gets errors from here on."""
        self.session.close()
        self._mountpoint.unlink(missing_ok=True)
