"""The backing store: the file or block device that holds a node's copy.

All offsets and lengths are bytes. Nothing here retries: a store that fails says so once, in a sentence.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from struct import unpack
from typing import Final

from dkrepl.errors import StoreError
from dkrepl.io.store.calls import StoreCalls
from dkrepl.io.store.fallocate import KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, fallocate

_BLKGETSIZE64: Final = 0x80081272
_UNSUPPORTED: Final = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_ZEROES: Final = bytes(1 << 20)
_OPEN_SECONDS: Final = 5.0  # that another process, as udevd after a disk was closed, may hold a lock on the store
_OPEN_AGAIN: Final = 0.05
# Bound once: they are called for every read and write.
_monotonic: Final = time.monotonic
_preadv: Final = os.preadv
_pwrite: Final = os.pwrite


class StoreFailed(StoreError):
    """The operating system failed an operation on the store; ``errno`` is its code."""

    def __init__(self, sentence: str, code: int | None) -> None:
        super().__init__(sentence)
        self.errno = code or errno.EIO


class BackingStore:
    """An open store, locked so that no second daemon can open it."""

    def __init__(self, path: Path, wait: float = _OPEN_SECONDS) -> None:
        """Open an existing file or block device for reading and writing; raise StoreError.

        A block device that is in use is waited for, ``wait`` seconds: udevd holds a shared lock while it looks at a
        disk that was closed after writing (systemd's documentation, "Locking Block Device Access").
        """
        self.path = path
        self.calls = StoreCalls()
        """What is under way: reads that wait, discards, zeroes and flushes are workers', all else is the loop's."""
        self.fd = -1
        deadline = time.monotonic() + wait
        while True:
            try:
                self._open()
                break
            except OSError as error:
                self.close()
                busy = error.errno in (errno.EBUSY, errno.EWOULDBLOCK) and self.is_block
                if not busy or time.monotonic() >= deadline:
                    raise self._cannot_open(error) from error
                time.sleep(_OPEN_AGAIN)
            except StoreError:
                self.close()
                raise
        self._nowait = os.RWF_NOWAIT
        self._flush_failed: str | None = None

    def _open(self) -> None:
        self.is_block = False
        self.is_block = stat.S_ISBLK(os.stat(self.path).st_mode)
        # O_EXCL without O_CREAT refuses a block device that is mounted or otherwise claimed: open(2).
        exclusive = os.O_EXCL if self.is_block else 0
        self.fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | exclusive)
        self._check_type()
        fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.size = self._find_size()

    def begin(self) -> None:
        """A role begins with this store: flushes are tried again; what an earlier one lost is in the record (R15)."""
        self._flush_failed = None

    def close(self) -> None:
        """Close the store and give the lock back."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    # -- data ----------------------------------------------------------------------------------------------

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset``; may wait for the disk. Raises StoreFailed."""
        try:
            with self.calls.of_worker():
                data = os.pread(self.fd, length, offset)
                while len(data) < length:
                    more = os.pread(self.fd, length - len(data), offset + len(data))
                    if not more:
                        raise OSError(errno.EIO, "the store ends early")
                    data += more
        except OSError as error:
            raise self._failed("read", offset, length, error) from error
        return data

    def read_nowait(self, offset: int, length: int) -> bytes | bytearray | None:
        """Return ``length`` bytes if they are in memory, else None: then ``read`` in a worker thread.

        Where the file system cannot tell (no RWF_NOWAIT) this reads plainly.
        """
        calls = self.calls
        began = calls.loop = _monotonic()
        try:
            if not self._nowait:
                return self.read(offset, length)
            buffer = bytearray(length)
            got = _preadv(self.fd, (buffer,), offset, self._nowait)
            return buffer if got == length else None
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise self._failed("read", offset, length, error) from error
            self._nowait = 0
            return self.read(offset, length)
        finally:
            calls.loop = -began

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at ``offset``; to be called in the loop. Raises StoreFailed."""
        calls = self.calls
        began = calls.loop = _monotonic()
        try:
            done = _pwrite(self.fd, data, offset)
            if done < len(data):
                self._write(offset + done, memoryview(data)[done:])
        except OSError as error:
            raise self._failed("write", offset, len(data), error) from error
        finally:
            calls.loop = -began

    def _write(self, offset: int, data: memoryview) -> None:
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(self.fd, data[done:], offset + done)
        except OSError as error:
            raise self._failed("write", offset, len(data), error) from error

    def discard(self, offset: int, length: int) -> None:
        """Give the space of a range back; it reads as zeroes afterwards, whatever the device is like."""
        # On a block device the punch is the zeroing one, refused if the hardware cannot; a plain discard,
        # after which two copies may read differently, is never used. Source: fallocate(2).
        with self.calls.of_worker():
            self._empty(PUNCH_HOLE | KEEP_SIZE, offset, length)

    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeroes, keeping its space allocated if the file system can do that."""
        with self.calls.of_worker():
            self._empty(ZERO_RANGE | KEEP_SIZE, offset, length)

    def sync(self) -> None:
        """Put everything written so far on stable storage: fdatasync(2). May take long. Raises StoreFailed.

        After one failure it fails for good: a second flush that succeeds does not tell of the pages that the first one
        lost (fsync(2)).
        """
        if self._flush_failed is not None:
            raise StoreFailed(f"{self._flush_failed}; earlier writes may be lost, so check the store", errno.EIO)
        try:
            with self.calls.of_worker():
                os.fdatasync(self.fd)
        except OSError as error:
            failed = StoreFailed(f"cannot flush the store {self.path} ({error.strerror})", error.errno)
            self._flush_failed = str(failed)
            raise failed from error

    def data_ranges(self, offset: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield (offset, length) of what may hold data between ``offset`` and ``end``, in order.

        All else reads as zeroes. A block device, and a file system without holes, gives one whole range.
        """
        end = self.size if end is None else min(end, self.size)
        while offset < end:
            start, stop = self._next_data(offset, end)
            if start >= end:
                return
            yield start, min(stop, end) - start
            offset = stop

    # -- the inside ----------------------------------------------------------------------------------------

    def _next_data(self, offset: int, end: int) -> tuple[int, int]:
        """Return the first stretch of data from ``offset`` on as (start, stop); start >= end if none."""
        if self.is_block:
            return offset, end
        try:
            start = os.lseek(self.fd, offset, os.SEEK_DATA)
            return start, os.lseek(self.fd, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return end, end
            if error.errno in _UNSUPPORTED:
                return offset, end
            raise self._failed("look for data in", offset, end - offset, error) from error

    def _empty(self, mode: int, offset: int, length: int) -> None:
        code = fallocate(self.fd, mode, offset, length)
        if code in _UNSUPPORTED and mode & PUNCH_HOLE:
            code = fallocate(self.fd, ZERO_RANGE | KEEP_SIZE, offset, length)
        if code in _UNSUPPORTED:
            for start in range(offset, offset + length, len(_ZEROES)):
                self._write(start, memoryview(_ZEROES)[: min(len(_ZEROES), offset + length - start)])
        elif code:
            error = OSError(code, os.strerror(code))
            raise self._failed("zero", offset, length, error) from error

    def _find_size(self) -> int:
        if self.is_block:
            answer = fcntl.ioctl(self.fd, _BLKGETSIZE64, bytes(8))
            return int(unpack("<Q", answer)[0])
        return os.fstat(self.fd).st_size

    def _check_type(self) -> None:
        mode = os.fstat(self.fd).st_mode
        if not (stat.S_ISBLK(mode) if self.is_block else stat.S_ISREG(mode)):
            raise StoreError(f"the store {self.path} is neither a file nor a block device")

    def _cannot_open(self, error: OSError) -> StoreError:
        if error.errno == errno.ENOENT:
            return StoreError(f"the store {self.path} does not exist: create it with `dkrepl init`")
        if error.errno == errno.EISDIR:
            return StoreError(f"the store {self.path} is a directory, not a file or a block device")
        if error.errno in (errno.EBUSY, errno.EWOULDBLOCK):
            return StoreError(f"the store {self.path} is in use: stop the daemon, or unmount what has it open")
        return StoreError(f"cannot open the store {self.path} ({error.strerror})")

    def _failed(self, verb: str, offset: int, length: int, error: OSError) -> StoreFailed:
        sentence = f"cannot {verb} {length} bytes at {offset} of the store {self.path} ({error.strerror})"
        return StoreFailed(sentence, error.errno)
