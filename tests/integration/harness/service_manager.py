"""A service manager of a page: keeps descriptors for a daemon, and starts the next one with them, as systemd does.

Only what sd_notify(3) and sd_listen_fds(3) say of the descriptor store; the containers of molecule run the real one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from tests.integration.harness.cluster import Cluster
from tests.integration.harness.node import Node

# The number of the process is only known inside it.
_LAUNCH = """
import os, sys
kept = [int(fd) for fd in os.environ.pop("TEST_FDS").split(",") if fd]
for place, fd in enumerate(kept, 3):
    os.dup2(fd, place)
    os.close(fd)
if kept:
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(kept)))
    os.environ["LISTEN_FDNAMES"] = os.environ.pop("TEST_NAMES")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


class ServiceManager:
    """Manages the daemon of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.cluster: Cluster  # that the node belongs to
        self._path = node.directory / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._path))
        self.held: dict[str, int] = {}
        self._lock = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def start(self, ready: bool = True, **environment: str) -> None:
        """Start the daemon with what it is owed; with ``ready``, wait until it serves."""
        with self._lock:
            names, fds = list(self.held), list(self.held.values())
        # Out of the way of 3 and up, where they have to end.
        high = [os.dup(fd) for fd in fds]
        high = [self._above(fd) for fd in high]
        extra = {"TEST_FDS": ",".join(map(str, high)), "TEST_NAMES": ":".join(names), "NOTIFY_SOCKET": str(self._path)}
        try:
            launch = (sys.executable, "-c", _LAUNCH)
            self._node.start(ready, launch, pass_fds=high, **extra, **environment)
        finally:
            for fd in high:
                os.close(fd)

    @staticmethod
    def _above(fd: int) -> int:
        moved = fcntl.fcntl(fd, fcntl.F_DUPFD, 100)
        os.close(fd)
        return moved

    def _listen(self) -> None:
        while not self._closing:
            with contextlib.suppress(OSError):
                message, fds, _, _ = socket.recv_fds(self._socket, 4096, 4)
                self._take(dict(line.split("=", 1) for line in message.decode().splitlines()), fds)

    def _take(self, said: dict[str, str], fds: list[int]) -> None:
        name: Any = said.get("FDNAME")
        with self._lock:
            if said.get("FDSTORE") == "1" and fds:
                if name in self.held:
                    os.close(self.held[name])
                self.held[name] = fds[0]
            elif said.get("FDSTOREREMOVE") == "1" and name in self.held:
                os.close(self.held.pop(name))

    def drop(self) -> None:
        """Close what is held, as when the unit is stopped or the node is off."""
        with self._lock:
            for fd in self.held.values():
                os.close(fd)
            self.held.clear()

    def close(self) -> None:
        """Let go of everything."""
        self._closing = True
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as poke:
            poke.sendto(b"X=1", str(self._path))
        self._thread.join(5.0)
        self._socket.close()
        self.drop()


def path_with_systemctl(directory: Path, answer: str) -> str:
    """Return a PATH on which ``systemctl`` prints ``answer``."""
    directory.mkdir(exist_ok=True)
    script = directory / "systemctl"
    script.write_text(f"#!/bin/sh\necho '{answer}'\n")
    script.chmod(0o755)
    return f"{directory}:{os.environ['PATH']}"
