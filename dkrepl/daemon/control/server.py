"""The control socket: a thread that takes one request a connection and gives its answer in JSON lines."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec

from dkrepl.api.requests import LONGEST
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.errors import DkreplError, HostError, Refused, UsageError


class Dispatcher(Protocol):
    """Carries out a request: yields progress objects and at last the answer."""

    def carry_out(self, command: str, arguments: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """Yield ("progress", ...) any number of times, then ("ok", ...). Raises ``DkreplError``."""


class ControlServer:
    """Listens at ``path``, for root and the owning group only."""

    def __init__(self, path: Path, dispatcher: Dispatcher, *, limits: Limits = DEFAULT) -> None:
        self._limits = limits
        self._path = path
        self._dispatcher = dispatcher
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._clients = threading.Semaphore(limits.clients)
        self._closing = False
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)

    def start(self) -> None:
        """Listen. Raises ``HostError``."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.unlink(missing_ok=True)
            mask = os.umask(0o117)
            try:
                self._socket.bind(str(self._path))
            finally:
                os.umask(mask)
            self._socket.listen(64)
        except OSError as error:
            raise HostError(f"cannot listen at {self._path} ({error.strerror}); check its directory") from error
        self._thread.start()

    def close(self) -> None:
        """Stop listening and remove the socket."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._socket.accept()
            except OSError:  # no descriptor is free, or the client went away: accept(2)
                time.sleep(self._limits.accept_again_seconds)
                continue
            if not self._clients.acquire(blocking=False):
                with client, contextlib.suppress(OSError):
                    client.settimeout(0.1)
                    client.sendall(msgspec.json.encode(_error(self._busy())) + b"\n")
                continue
            threading.Thread(target=self._serve, args=(client,), name="client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, contextlib.suppress(OSError):
                client.settimeout(self._limits.client_silence_seconds)
                for line in self._answers(client):
                    client.sendall(msgspec.json.encode(line) + b"\n")
        finally:
            self._clients.release()

    def _answers(self, client: socket.socket) -> Iterator[dict[str, Any]]:
        try:
            request = self._read(client)
            for kind, body in self._dispatcher.carry_out(request.pop("command"), request):
                yield {kind: body}
        except DkreplError as error:
            yield _error(error)
        except OSError:
            raise
        except Exception as error:
            yield _error(DkreplError(f"unexpected: {error!r}"))

    def _busy(self) -> Refused:
        most = self._limits.clients
        return Refused(f"the daemon serves {most} commands already; end some of them (such as events --follow)")

    def _read(self, client: socket.socket) -> dict[str, Any]:
        line = b""
        while not line.endswith(b"\n"):
            part = client.recv(4096)
            line += part
            if not part or len(line) > LONGEST:
                raise UsageError(f"a request is one line of JSON of at most {LONGEST >> 10} KiB")
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise UsageError(f"the request is not JSON ({error})") from None
        if not isinstance(request.get("command"), str):
            raise UsageError("the request names no command")
        return request


def _error(error: DkreplError) -> dict[str, Any]:
    return {"error": {"code": error.exit_code, "name": error.name, "message": str(error)}}
