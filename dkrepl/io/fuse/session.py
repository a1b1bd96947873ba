"""The conversation with the kernel: one request at a time in, one reply each out.

The daemon sees reads, writes, syncs, discards and zeroings of one file and nothing else. Whatever else the
kernel asks (INIT, GETATTR, OPEN, ...) is answered here, and so is a request outside the file.
"""

from __future__ import annotations

import errno
import mmap
import os
import select
from pathlib import Path
from typing import Final

from dkrepl.errors import HostError
from dkrepl.io.fuse import answers, handshake, messages, mount
from dkrepl.io.fuse.buffers import BufferPool
from dkrepl.io.fuse.request import DISCARD, READ, SYNC, WRITE, ZERO, Request

MAX_TRANSFER: Final = messages.MAX_TRANSFER
#: From this many bytes on a write is handed over in the buffer that the kernel filled; below it is copied.
LARGE: Final = 64 * 1024
#: Buffers of MAX_TRANSFER bytes that one session makes at most.
BUFFERS: Final = 48
_INIT_DEADLINE_SECONDS: Final = 10.0

_FSYNC: Final = messages.FSYNC
_FUSE_READ: Final = messages.READ
_FUSE_WRITE: Final = messages.WRITE
# Bound once: they are called for every request.
_unpack_transfer: Final = messages.TRANSFER.unpack_from
_pack_written: Final = messages.WRITTEN.pack
_pack_header: Final = messages.OUT_HEADER.pack
_readv: Final = os.readv
_write: Final = os.write
_writev: Final = os.writev
_HEADER_SIZE: Final = messages.TRANSFER_HEADER_SIZE
_SECTOR_MASK: Final = messages.SECTOR - 1
_DISCARD_MODE: Final = messages.FALLOC_FL_PUNCH_HOLE | messages.FALLOC_FL_KEEP_SIZE
_ZERO_MODE: Final = messages.FALLOC_FL_ZERO_RANGE | messages.FALLOC_FL_KEEP_SIZE


class SessionEnded(HostError):
    """The file system was unmounted and nobody uses it any more, or the kernel ended the connection."""


class FuseSession:
    """A connection that serves one regular file of ``size`` bytes; only one thread may ``receive``."""

    def __init__(self, fd: int, size: int, mountpoint: Path | None) -> None:
        """Serve an already initialised connection; use ``mount`` or ``adopt``."""
        self.fd = fd
        self.size = size
        self.mountpoint = mountpoint
        self._pool = BufferPool(MAX_TRANSFER, BUFFERS)
        self._header = bytearray(_HEADER_SIZE)
        self._buffer = self._new_buffer()
        self._parts: list[bytearray | mmap.mmap] = [self._header, self._buffer]
        os.set_blocking(fd, False)

    @classmethod
    def mount(cls, mountpoint: Path, size: int) -> FuseSession:
        """Mount a file of ``size`` bytes over ``mountpoint`` and shake hands with the kernel.

        Raises HostError if the host cannot do it.
        """
        fd = mount.open_connection()
        try:
            mount.mount(fd, mountpoint)
            session = cls(fd, size, mountpoint)
            session._shake_hands()
        except BaseException:
            mount.unmount_all(mountpoint)
            os.close(fd)
            raise
        return session

    @classmethod
    def adopt(cls, fd: int, size: int, mountpoint: Path | None = None, resend: bool = True) -> FuseSession:
        """Serve the connection of a predecessor that is gone.

        With ``resend`` the kernel is asked for the requests that the predecessor took and did not answer;
        that needs Linux 6.9 (HostError before it).
        """
        session = cls(fd, size, mountpoint)
        if resend:
            session._ask_again()
        return session

    def close(self) -> None:
        """Unmount lazily and end the connection: requests without a reply fail with ENOTCONN."""
        if self.fd < 0:
            return
        try:
            if self.mountpoint is not None:
                mount.unmount_all(self.mountpoint)
        finally:
            os.close(self.fd)
            self.fd = -1

    # -- requests ------------------------------------------------------------------------------------------

    def receive(self) -> Request | None:
        """Return the next request for the daemon, or None if none is waiting.

        Raises SessionEnded, or HostError if the kernel says what no kernel says.
        """
        while True:
            try:
                got = _readv(self.fd, self._parts)
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EINTR):
                    continue  # the request was taken back while it was being read
                raise self._broken(error) from error
            length, opcode, unique, offset, size = _unpack_transfer(self._header)
            if opcode == _FUSE_WRITE and length == got == _HEADER_SIZE + size:
                if offset + size > self.size:
                    self.reply_error(unique, errno.ENOSPC)
                    continue
                if (offset | size) & _SECTOR_MASK or not size:
                    self.reply_error(unique, errno.EINVAL)
                    continue
                if size < LARGE:
                    return Request(WRITE, unique, offset, size, self._buffer[:size])
                return Request(WRITE, unique, offset, size, self._hand_over(size))
            if opcode == _FUSE_READ and length == got == _HEADER_SIZE:
                if offset >= self.size:
                    self.reply_data(unique, b"")
                    continue
                return Request(READ, unique, offset, min(size, self.size - offset, MAX_TRANSFER), b"")
            request = self._seldom(got)
            if request is not None:
                return request

    def _hand_over(self, size: int) -> memoryview | bytes:
        """Return the data just received without copying it, if there is another buffer to go on with."""
        fresh = self._pool.take()
        if fresh is None:
            return self._buffer[:size]
        data = self._pool.lend(self._buffer, size)
        self._buffer = self._parts[1] = fresh
        return data

    def _new_buffer(self) -> mmap.mmap:
        buffer = self._pool.take()
        assert buffer is not None, "a pool of no buffers"
        return buffer

    # -- replies -------------------------------------------------------------------------------------------

    def reply_written(self, unique: int, size: int) -> None:
        """Report that ``size`` bytes of a WRITE were written."""
        try:
            _write(self.fd, _pack_written(24, 0, unique, size, 0))
        except OSError as error:
            self._not_taken(error)

    def reply_data(self, unique: int, data: bytes | bytearray | memoryview) -> None:
        """Answer a READ with ``data``; less than asked for means that the file ends there."""
        try:
            _writev(self.fd, (_pack_header(16 + len(data), 0, unique), data))
        except OSError as error:
            self._not_taken(error)

    def reply_ok(self, unique: int) -> None:
        """Report that a SYNC, DISCARD or ZERO is done."""
        try:
            _write(self.fd, _pack_header(16, 0, unique))
        except OSError as error:
            self._not_taken(error)

    def reply_error(self, unique: int, code: int) -> None:
        """Fail a request with the errno ``code`` (positive)."""
        try:
            _write(self.fd, _pack_header(16, -code, unique))
        except OSError as error:
            self._not_taken(error)

    def _not_taken(self, error: OSError) -> None:
        """Let pass that the kernel no longer wants a reply: ``receive`` tells why, if the session ended."""
        if error.errno not in (errno.ENOENT, errno.ENODEV, errno.ECONNABORTED, errno.EPIPE):
            raise HostError(f"the kernel refused a FUSE reply ({error.strerror})") from error

    # -- what the daemon never sees --------------------------------------------------------------------------

    def _seldom(self, got: int) -> Request | None:
        """Answer the message of ``got`` bytes, or return it if it is a SYNC, DISCARD or ZERO."""
        message = bytes(self._header[:got])
        if got > _HEADER_SIZE:
            message += self._buffer[: got - _HEADER_SIZE]
        if got < messages.IN_HEADER.size:
            raise HostError(f"the kernel sent a FUSE message of {got} bytes, too short for its header")
        length, opcode, unique, *_ = messages.IN_HEADER.unpack_from(message)
        if length != got:
            raise HostError(f"the kernel sent a FUSE message of {got} bytes that claims to have {length}")
        body = message[messages.IN_HEADER.size :]
        if opcode == _FSYNC:
            return Request(SYNC, unique, 0, 0, b"")
        if opcode == messages.FALLOCATE:
            return self._fallocate(unique, body)
        if opcode not in answers.UNANSWERED:
            self._answer(opcode, unique)
        return None

    def _fallocate(self, unique: int, body: bytes) -> Request | None:
        if len(body) < messages.FALLOCATE_IN.size:
            self.reply_error(unique, errno.EINVAL)
            return None
        _, offset, length, mode, _ = messages.FALLOCATE_IN.unpack_from(body)
        if mode not in (_DISCARD_MODE, _ZERO_MODE):
            self.reply_error(unique, errno.EOPNOTSUPP)
            return None
        if not length or (offset | length) & _SECTOR_MASK or offset + length > self.size:
            self.reply_error(unique, errno.EINVAL)
            return None
        return Request(DISCARD if mode == _DISCARD_MODE else ZERO, unique, offset, length, b"")

    def _answer(self, opcode: int, unique: int) -> None:
        reply = answers.answer(opcode, self.size)
        if isinstance(reply, int):
            self.reply_error(unique, reply)
        else:
            self.reply_data(unique, reply)

    # -- beginning and end -----------------------------------------------------------------------------------

    def _shake_hands(self) -> None:
        """Answer INIT, the first message on every connection."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        if not poll.poll(_INIT_DEADLINE_SECONDS * 1000):
            raise HostError(f"the kernel did not begin FUSE on {self.mountpoint} within 10 s")
        try:
            got = os.readv(self.fd, self._parts)
        except OSError as error:
            raise self._broken(error) from error
        unique, reply = handshake.answer_init(bytes(self._header[: min(got, _HEADER_SIZE)]), self.mountpoint)
        self.reply_data(unique, reply)

    def _ask_again(self) -> None:
        try:
            _write(self.fd, _pack_header(16, messages.NOTIFY_RESEND, 0))
        except OSError as error:
            raise HostError(
                f"the kernel does not send unanswered FUSE requests again ({error.strerror}): "
                "it takes Linux 6.9, or a restart of the device"
            ) from error

    def _broken(self, error: OSError) -> HostError:
        if error.errno in (errno.ENODEV, errno.ECONNABORTED, errno.EBADF):
            return SessionEnded(f"the FUSE session of {self.mountpoint or 'the device'} has ended")
        return HostError(f"cannot read from /dev/fuse ({error.strerror})")
