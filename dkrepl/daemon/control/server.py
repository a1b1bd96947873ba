"""The control socket: one request a connection, read by a thread, which then waits for the answer and sends it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dkrepl.api import lines, requests
from dkrepl.api.failure import Failure
from dkrepl.api.lines import Line
from dkrepl.api.requests import LONGEST, AnyRequest
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.daemon.control.reply import QueuedReply, Reply
from dkrepl.errors import DkreplError, HostError, Refused, UsageError

Watch = Callable[[], None]
Begin = Callable[[AnyRequest, Reply], Watch]


class ControlServer:
    """Listens at ``path``, for root and the owning group only.

    ``begin`` has a request carried out and answered by its reply. What it returns is called now and then meanwhile, and
    raises ``DkreplError`` once it is known that no answer will come.
    """

    def __init__(self, path: Path, begin: Begin, *, limits: Limits = DEFAULT) -> None:
        self._limits = limits
        self._path = path
        self._begin = begin
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
                    client.sendall(lines.encode(_error(self._busy())))
                continue
            threading.Thread(target=self._serve, args=(client,), name="client", daemon=True).start()

    def _busy(self) -> Refused:
        most = self._limits.clients
        return Refused(f"the daemon serves {most} commands already; end some of them (such as events --follow)")

    # --- in a client's thread --------------------------------------------------------------------------

    def _serve(self, client: socket.socket) -> None:
        reply = QueuedReply()
        try:
            with client, contextlib.suppress(OSError):
                client.settimeout(self._limits.client_silence_seconds)
                for line in self._answer(client, reply):
                    client.sendall(lines.encode(line))
        finally:
            reply.close()
            self._clients.release()

    def _answer(self, client: socket.socket, reply: QueuedReply) -> Iterator[Line]:
        try:
            watch = self._begin(requests.decode(_read(client)), reply)
            yield from self._lines(reply, watch)
        except DkreplError as error:
            yield _error(error)
        except OSError:
            raise
        except Exception as error:
            yield _error(DkreplError(f"unexpected: {error!r}"))

    def _lines(self, reply: QueuedReply, watch: Watch) -> Iterator[Line]:
        """Yield what the command says, up to its answer, and a sign of life where it says nothing for long."""
        said = time.monotonic()
        while True:
            found = reply.take(self._limits.command_look_seconds)
            if found is None:
                try:
                    watch()
                except DkreplError:
                    found = reply.take(0.0)  # it may have been said just before
                    if found is None:
                        raise
            if isinstance(found, Line):
                said = time.monotonic()
                yield found
                if found.ends:
                    return
            elif found is not None:
                yield from found()
                return
            elif time.monotonic() - said > self._limits.client_silence_seconds / 2:
                said = time.monotonic()
                yield Line(progress={})


def _read(client: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        part = client.recv(4096)
        line += part
        if not part or len(line) > LONGEST:
            raise UsageError(f"a request is one line of JSON of at most {LONGEST >> 10} KiB")
    return line


def _error(error: DkreplError) -> Line:
    return Line(error=Failure.of(error))
