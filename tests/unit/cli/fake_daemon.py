"""A control server of a few lines, which answers as a daemon would, or as none should."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dkrepl.api import requests
from dkrepl.api.requests import AnyRequest
from dkrepl.cli.main import exit_code
from dkrepl.config import public_key
from dkrepl.config.example import render_example
from dkrepl.io.state.paths import Paths

Answer = list[Any] | Callable[[AnyRequest], list[Any]]
"""Lines: dicts are sent as JSON, bytes as they are; None stays silent until the client goes."""


class FakeDaemon:
    """Serves one control socket; ``requests`` is what was asked."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[AnyRequest] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def close(self) -> None:
        """Stop; every thread has ended when it returns."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(10)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            request = requests.decode(connection.makefile("rb").readline())
            self.requests.append(request)
            lines = self.answer(request) if callable(self.answer) else self.answer
            for line in lines:
                if line is None:
                    connection.recv(1)  # returns when the client has closed
                    return
                connection.sendall(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
        except OSError:
            pass
        finally:
            connection.close()


def with_keys(text: str) -> str:
    """Return a description in which every node has a public key."""
    parts = text.split("[[node]]")
    keyed = [f'\npublic_key = "{public_key.write(bytes((n,)) * 32)}"{part}' for n, part in enumerate(parts[1:])]
    return "[[node]]".join([parts[0], *keyed])


def source_status(**changes: Any) -> dict[str, Any]:
    """Return a status as the daemon of a source gives it: beta in sync, gamma in a resync."""
    beta = {
        "name": "beta",
        "address": "10.0.0.2",
        "mode": "sync",
        "on_full": "block",
        "state": "InSync",
        "reason": None,
        "window": {"writes": 3, "writes_limit": 256, "bytes": 12288, "bytes_limit": 67108864},
        "lag_seconds": 0.004,
        "lag_bytes": 12288,
        "dirty_blocks": 1,
        "dirty_bytes": 65536,
        "resync": None,
        "last_resync": {"kind": "partial", "seconds": 2.5, "copied_bytes": 1 << 20, "sent_bytes": 1 << 19},
        "resent_bytes": 1 << 19,
        "paused": False,
        "store_stalled": None,
    }
    gamma = {
        **beta,
        "name": "gamma",
        "mode": "async",
        "on_full": "bitmap",
        "state": "Resyncing",
        "reason": "it was away for 12 s",
        "lag_seconds": None,
        "resync": {
            "kind": "partial",
            "percent": 42.0,
            "done_bytes": 42 << 20,
            "total_bytes": 100 << 20,
            "rate_bytes_per_second": float(10 << 20),
            "eta_seconds": 5.8,
        },
        "last_resync": None,
    }
    status: dict[str, Any] = {
        "schema": 1,
        "mirror": "r0",
        "node": "alpha",
        "role": "source",
        "state": "Serving",
        "device": "/dev/dkrepl/r0",
        "loop": "/dev/loop3",
        "size": 1 << 30,
        "block": 65536,
        "extent": 4 << 20,
        "generation": "0123456789abcdef",
        "session": "fedcba9876543210",
        "seq": 4711,
        "active_extents": 2,
        "store_stalled": None,
        "quorum": {"available": 2, "min": 1},
        "split_brain": None,
        "warnings": [],
        "targets": [beta, gamma],
        "process": {
            "pid": 99,
            "rss_bytes": 50 << 20,
            "cpu_seconds": 1.5,
            "uptime_seconds": 7500.0,
            "threads": 4,
            "open_files": 20,
        },
        "host": {"load1": 0.5, "memory_available_bytes": 2 << 30, "store_free_bytes": 9 << 30},
        "counters": {
            "writes": 4711,
            "written_bytes": 1 << 24,
            "reads": 10,
            "read_bytes": 40960,
            "flushes": 3,
            "discards": 0,
            "frames_refused": 0,
        },
    }
    return {**status, **changes}


def target_status(**changes: Any) -> dict[str, Any]:
    """Return a status as the daemon of a target gives it, in sync."""
    kept = ("schema", "mirror", "size", "block", "extent", "generation", "session", "warnings", "process", "host")
    source = source_status()
    return {
        **{key: source[key] for key in kept},
        "node": "beta",
        "role": "target",
        "mode": "sync",
        "state": "InSync",
        "reason": None,
        "source": "alpha",
        "store_state": "Consistent",
        "store_stalled": None,
        "applied_seq": 4711,
        "durable_seq": 4700,
        "last_heard": None,
        "resync": None,
        "split_brain": None,
        "diverged": [],
        "counters": {"applied_bytes": 1 << 24, "resync_bytes": 4096, "frames_refused": 2},
        **changes,
    }


class Cli:
    """Runs the command line in this process, on directories of its own, against daemons that tests start."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.paths = Paths(etc=directory / "etc", state=directory / "state", run=directory / "run")
        for path in (self.paths.etc, self.paths.state, self.paths.run):
            path.mkdir()
        self._capsys = capsys
        self._daemons: list[FakeDaemon] = []

    @property
    def globals(self) -> list[str]:
        """The options that lead to the directories."""
        return ["--etc", str(self.paths.etc), "--state", str(self.paths.state), "--run", str(self.paths.run)]

    def describe(self, mirror: str = "r0") -> None:
        """Put a description of the mirror in place."""
        text = with_keys(render_example()).replace('name = "r0"', f'name = "{mirror}"', 1)
        self.paths.description(mirror).write_text(text)

    def daemon(self, *answer: Any, mirror: str = "r0") -> FakeDaemon:
        """Start a daemon that answers every request with these lines, or with what the function returns."""
        fake = FakeDaemon(self.paths.socket(mirror), answer[0] if callable(answer[0]) else list(answer))
        self._daemons.append(fake)
        return fake

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Return the exit code, stdout and stderr of a command."""
        code = exit_code([*self.globals, *arguments])
        out, err = self._capsys.readouterr()
        return code, out, err

    def close(self) -> None:
        """Stop the daemons."""
        for fake in self._daemons:
            fake.close()
