"""Asks a mirror's daemon over its control socket: one request, some progress, one answer.

Every wait has a deadline: the daemon has ``silence`` seconds for each line. While it works on something
long it sends progress, or ``{"progress": {}}`` to say no more than that it lives.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from dkrepl.api import lines, requests, status
from dkrepl.api.failure import Failure
from dkrepl.api.requests import Request
from dkrepl.errors import DaemonNotRunning, DkreplError, HostError, ProtocolError, TimedOut

SILENCE = 10.0
"""Seconds without a line after which the daemon counts as stuck."""
LONGEST_LINE = 16 << 20
"""Bytes; the longest answer there is, 32 targets with 1000 ranges each, takes less than 3 MiB."""

Progress = Callable[[Any], None]
Answer = TypeVar("Answer")


class NotListening(DaemonNotRunning):
    """No daemon listens on the control socket; to the user it is the same error."""

    name = DaemonNotRunning.__name__


def ask(
    path: Path,
    mirror: str,
    request: Request,
    on_progress: Progress | None = None,
    silence: float | None = None,
    endless: bool = False,
) -> Any:
    """Return the ``ok`` of the daemon's answer, as JSON has it; ``on_progress`` is called with each progress before it.

    ``path``: of the control socket. ``silence`` is in seconds, SILENCE without; ``endless`` waits for as long as the
    daemon lives. Raises DaemonNotRunning, TimedOut (silence), ProtocolError (an answer that makes no sense), HostError
    (not allowed), and whatever error the daemon answers with.
    """
    limit = SILENCE if silence is None else silence
    with _connect(path, mirror) as connection:
        with contextlib.suppress(ConnectionError, TimeoutError):  # the answer may be there all the same
            connection.sendall(requests.encode(request))
        for line in _lines(connection, mirror, None if endless else limit):
            try:
                reply = lines.decode(line)
            except ValueError:
                raise not_understood(mirror, "no line of the control protocol") from None
            if isinstance(reply.error, Failure):
                raise reply.error.as_error()
            if reply.ok is not msgspec.UNSET:
                return reply.ok
            if on_progress is not None and reply.progress:
                on_progress(reply.progress)
    raise DaemonNotRunning(
        f"the daemon of mirror {mirror} went away before it answered: look at `journalctl -u dkrepl@{mirror}`"
    )


def read(answer: Any, kind: type[Answer], mirror: str) -> Answer:
    """Return an answer as what it is expected to be. Raises ``ProtocolError`` if it is something else."""
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise not_understood(mirror, str(error)) from None


def read_status(answer: Any, mirror: str) -> status.Status:
    """Return an answer to ``status`` by the role of the node. Raises ``ProtocolError`` if it is something else."""
    try:
        return status.from_json(answer)
    except msgspec.ValidationError as error:
        raise not_understood(mirror, str(error)) from None


def not_understood(mirror: str, what: str) -> ProtocolError:
    """Return the error for an answer that makes no sense here."""
    return ProtocolError(
        f"the daemon of mirror {mirror} gave an answer that this dkrepl does not understand ({what}): "
        f"if it is of another version, `systemctl restart dkrepl@{mirror}`"
    )


def _connect(path: Path, mirror: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(SILENCE)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        raise _not_connected(path, mirror, error) from None
    return connection


def _not_connected(path: Path, mirror: str, error: OSError) -> DkreplError:
    if isinstance(error, PermissionError):
        return HostError(f"no permission to use the control socket {path}: run this as root, or join its group")
    if isinstance(error, BlockingIOError | TimeoutError):
        return TimedOut(f"the daemon of mirror {mirror} does not accept connections: ask again in a moment")
    if error.errno is None or error.errno == errno.ENAMETOOLONG:
        return HostError(f"the control socket's path is too long for Linux, choose a shorter --run: {path}")
    if not isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return HostError(f"the control socket {path} of mirror {mirror} cannot be used: {error.strerror}")
    return NotListening(
        f"the daemon of mirror {mirror} is not running: start it with `systemctl start dkrepl@{mirror}`"
    )


def _lines(connection: socket.socket, mirror: str, silence: float | None) -> Iterator[bytes]:
    """Yield the lines of the answer until the daemon closes; raises TimedOut when it is silent."""
    pending = bytearray()
    searched = 0
    deadline = _deadline(silence)
    while True:
        end = pending.find(b"\n", searched)
        if end >= 0:
            line = bytes(pending[:end])
            del pending[: end + 1]
            searched = 0
            yield line
            deadline = _deadline(silence)
            continue
        searched = len(pending)
        if searched > LONGEST_LINE:
            raise not_understood(mirror, f"a line beyond {LONGEST_LINE} bytes")
        left = None if deadline is None else deadline - time.monotonic()
        try:
            if left is not None and left <= 0:
                raise TimeoutError
            connection.settimeout(left)
            chunk = connection.recv(1 << 16)
        except TimeoutError:
            raise TimedOut(
                f"the daemon of mirror {mirror} did not answer for {silence:g} s: "
                f"look at `journalctl -u dkrepl@{mirror}`, then `systemctl restart dkrepl@{mirror}`"
            ) from None
        except ConnectionError:
            return
        if not chunk:
            return
        pending += chunk


def _deadline(silence: float | None) -> float | None:
    return None if silence is None else time.monotonic() + silence
