"""The daemon that ships, started so that everything its store is told is written down, in order, as it happens.

    python recording_daemon.py RECORD -m dkrepl.cli.main run ...

A change is in the record before it is in the store; a flush when it begins, with the number of changes that had been
done by then, and when it has ended. So at every place of the record it is known what must be on stable storage: what
ended flushes cover; and what may be: all that stands before.
"""

from __future__ import annotations

import os
import runpy
import sys
from struct import Struct

sys.path.insert(0, os.getcwd())

from dkrepl.io.store.store import BackingStore

#: What; number of a flush; offset, or how many changes a flush covers; length. Then a write's data.
ENTRY = Struct("<BQQQ")
WRITE, DISCARD, ZERO, FLUSH_BEGINS, FLUSH_ENDED = range(1, 6)


def record(path: str) -> None:
    """Have every store of this process write down what it is told."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    flushes = changes = 0
    write, discard, zero, sync = BackingStore.write, BackingStore.discard, BackingStore.zero, BackingStore.sync

    def note(what: int, number: int, offset: int, length: int, data: bytes | bytearray | memoryview = b"") -> None:
        # One system call for each entry: they stay whole though threads write them.
        os.writev(fd, (ENTRY.pack(what, number, offset, length), data))

    def noted_write(self: BackingStore, offset: int, data: bytes | bytearray | memoryview) -> None:
        nonlocal changes
        note(WRITE, 0, offset, len(data), data)
        write(self, offset, data)
        changes += 1

    def noted_discard(self: BackingStore, offset: int, length: int) -> None:
        nonlocal changes
        note(DISCARD, 0, offset, length)
        discard(self, offset, length)
        changes += 1

    def noted_zero(self: BackingStore, offset: int, length: int) -> None:
        nonlocal changes
        note(ZERO, 0, offset, length)
        zero(self, offset, length)
        changes += 1

    def noted_sync(self: BackingStore) -> None:
        nonlocal flushes
        flushes += 1
        number = flushes
        note(FLUSH_BEGINS, number, changes, 0)
        sync(self)
        note(FLUSH_ENDED, number, 0, 0)

    for noted in (noted_write, noted_discard, noted_zero, noted_sync):
        setattr(BackingStore, noted.__name__.removeprefix("noted_"), noted)


if __name__ == "__main__":
    record(sys.argv[1])
    sys.argv = sys.argv[3:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
