"""A file that fails what it is told to fail: real I/O errors, from a file system of its own (FUSE, one process).

    python -m tests.integration.harness.faulty_file BACKING MOUNTPOINT RULES

``RULES`` is a file with a line for each rule, "op first end": requests of that kind (read, write, sync, discard, zero)
that touch a byte from ``first`` up to ``end`` fail with EIO. A sync touches all. "stall op" in place of "op": they wait
for as long as the line is there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from dkrepl.io.fuse import OP_NAMES, READ, WRITE, FuseSession, Request, SessionEnded, mount
from dkrepl.io.store.store import BackingStore
from tests.integration.harness.node import ROOT
from tests.lab.waiting import LONG, wait_for

_END = 1 << 62
_LOOK_AGAIN = 20  # ms between two looks whether what waits may go on


class FaultyFile:
    """The file ``path`` of ``size`` bytes, in a directory of its own; whole until ``fail``."""

    def __init__(self, directory: Path, size: int, content: bytes = b"") -> None:
        directory.mkdir()
        self.path = directory / "file"
        self._rules = directory / "rules"
        backing = directory / "backing"
        with backing.open("wb") as file:
            file.write(content)
            file.truncate(size)
        self._rules.touch()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, str(backing), str(self.path), str(self._rules)],
            cwd=ROOT,
        )
        try:
            wait_for(lambda: os.path.ismount(self.path), bool, "the faulty file is there")
        except BaseException:
            self.close()
            raise

    def fail(self, op: str, first: int = 0, end: int = _END) -> None:
        """Fail requests of kind ``op`` that touch the range from now on, with EIO."""
        self._set([*self._rules.read_text().splitlines(), f"{op} {first} {end}"])

    def stall(self, op: str) -> None:
        """Leave requests of kind ``op`` unanswered; ``mend`` answers them."""
        self._set([*self._rules.read_text().splitlines(), f"stall {op} 0 {_END}"])

    def mend(self) -> None:
        """Fail nothing any more, and answer what waits."""
        self._set([])

    def close(self) -> None:
        """Take it away; nobody may use it any more."""
        mount.unmount_all(self.path)
        self._process.terminate()
        self._process.wait(LONG)

    def _set(self, rules: list[str]) -> None:
        fresh = self._rules.with_name("rules.new")
        fresh.write_text("\n".join(rules))
        fresh.rename(self._rules)


@contextlib.contextmanager
def faulty_file(directory: Path, size: int, content: bytes = b"") -> Iterator[FaultyFile]:
    """A ``FaultyFile`` that is taken away in the end."""
    file = FaultyFile(directory, size, content)
    try:
        yield file
    finally:
        file.close()


def _serve(backing: Path, mountpoint: Path, rules: Path) -> None:
    store = BackingStore(backing)
    mountpoint.touch()
    session = FuseSession.mount(mountpoint, store.size)
    poll = select.poll()
    poll.register(session.fd, select.POLLIN)
    waiting: list[Request] = []
    while True:
        ready = poll.poll(_LOOK_AGAIN if waiting else None)
        try:
            request = session.receive() if ready else None
        except SessionEnded:
            return
        if request is not None:
            waiting.append(request)
        waiting = [one for one in waiting if not _answer(session, store, one, rules)]


def _answer(session: FuseSession, store: BackingStore, request: Request, rules: Path) -> bool:
    """Answer ``request``, unless it has to wait; return whether it did."""
    name = OP_NAMES[request.op]
    first, end = (request.offset, request.offset + request.length) if request.length else (0, _END)
    for line in rules.read_text().splitlines():
        *stall, op, rule_first, rule_end = line.split()
        if op == name and first < int(rule_end) and int(rule_first) < end:
            if stall:
                return False
            session.reply_error(request.unique, errno.EIO)
            return True
    if request.op == READ:
        session.reply_data(request.unique, store.read(request.offset, request.length))
    elif request.op == WRITE:
        store.write(request.offset, request.data)
        session.reply_written(request.unique, request.length)
    else:
        if name == "sync":
            store.sync()
        else:
            getattr(store, name)(request.offset, request.length)
        session.reply_ok(request.unique)
    return True


if __name__ == "__main__":
    _serve(*map(Path, sys.argv[1:]))
