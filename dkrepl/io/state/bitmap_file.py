"""The file of a peer's bitmap, and the memory in which its bits are changed.

The file is a page that says what it is, then the bits, then the seals, each padded to pages:

    page 0   mark 8 B, format 4 B, block 4 B, extent 4 B, size 8 B, node 64 B, peer 64 B, checksum 8 B
    at 512   owner 32 B, checksum 8 B: the name of the memory in which the bits are changed; or that there is none,
             because all of them were written to the file; or zeroes, if there is none that outlives its process

The memory has the same layout, and its first page names it. Only a changed piece is written, with pwrite(2), so that
each error is seen: a store to a mapped file can end the process, and a failed msync(2) may be reported only once.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from xxhash import xxh3_64_intdigest as checksum

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.intent.bitmap import CHANGED, SEALS_SHIFT, IntentBitmap
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.errors import StateDirectoryError
from dkrepl.io.state import bits_memory, durable_file

_PAGE = mmap.PAGESIZE
_MARK = b"dkbitmp1"
_HEADER = struct.Struct("<8sIIIQ64s64s")
_FORMAT = 1
_OWNER_AT = 512  # a sector of its own: it is replaced whole or not at all
_OWNER_BYTES = 32
_NOBODY = bytes(_OWNER_BYTES)
_SAVED = b"saved".ljust(_OWNER_BYTES, b"\0")
_JOINED = 256  # pieces written at once
_READ = 1 << 20  # bytes read at once


class BitmapFile:
    """An open bitmap file, and the memory in which its bits are changed.

    ``created`` if the file was not there before; ``damage`` says what is wrong with it, or "". ``exact``: the bits are
    as the last process left them; else they are what that process had made durable, as after a power loss.
    ``not_kept`` says why the memory will not outlive this process, or "".
    """

    HEAD = _PAGE  # bytes before the bits
    ALIGN = _PAGE

    def __init__(
        self,
        path: Path,
        metadata: NodeMetadata,
        target: str,
        memory: Path,
        same_boot: bool,
        *,
        limits: Limits = DEFAULT,
    ) -> None:
        """Open or create the bitmap of ``target``. A file that cannot be trusted is replaced by a new one.

        A new one passes no check until the caller fills it, so that a crash in between is found out as damage.
        ``memory`` is where the memory of an earlier process may be; within the ``same_boot`` it is taken if the file
        names it as the one in use. Raises ``MetadataError`` if the file system fails.
        """
        self.path = path
        self.damage = ""
        self.created = False
        self.exact = False
        self.not_kept = ""
        self._memory = memory
        self._unsettled = True  # a killed predecessor may have written without a flush
        per = metadata.extent // metadata.block
        blocks = -(-metadata.size // metadata.block)
        self._seals_at = self.HEAD + self._aligned(IntentBitmap.bits_bytes(blocks, per))
        length = self._seals_at + self._aligned(IntentBitmap.seals_bytes(blocks, per))
        header = _HEADER.pack(
            _MARK,
            _FORMAT,
            metadata.block,
            metadata.extent,
            metadata.size,
            metadata.node.encode(),
            target.encode(),
        )
        header += checksum(header).to_bytes(8, "little")
        try:
            self._open(header, length, target)
            try:
                view, kept = self._recall(header, length, same_boot)
            except BaseException:
                self._close()
                raise
        except OSError as error:
            raise StateDirectoryError(
                f"cannot use the bitmap {path} ({error.strerror}); check its file system"
            ) from error
        self._view = view
        bits, seals = view[self.HEAD : self._seals_at], view[self._seals_at :]
        self.bitmap = IntentBitmap(bits, seals, blocks, per, limits=limits)
        if self.created or self.damage:
            self.bitmap.fill(1 if self.damage else 0)
        elif kept:  # it is not known how much of it the file holds already
            self.bitmap.touch(0, len(self.bitmap.bits))
            self.bitmap.touched_seals[:] = bytes([CHANGED]) * len(self.bitmap.touched_seals)

    def _recall(self, header: bytes, length: int, same_boot: bool) -> tuple[memoryview, bool]:
        """Return the memory with its bits, and whether an earlier process kept it."""
        self._recorded = self._read_owner()
        if same_boot and not self.created and not self.damage and self._recorded:
            kept = None if self._recorded == _SAVED else self._reopen(header + self._recorded, length)
            if kept is not None:
                self.exact, self._owner = True, self._recorded
                return kept, True
            self.exact = self._recorded == _SAVED
        owner = self._new_owner()
        view, self.not_kept = self._fresh(header + owner, length)
        self._owner = _NOBODY if self.not_kept else owner
        self._read_into(view[self.HEAD :], self.HEAD)
        return view, False

    def adopt(self) -> None:
        """Record durably that the bits are in this memory from now on: before the first of them is changed.

        To be called when all that follows from the opening is durable. Raises ``MetadataError``.
        """
        if self._recorded != self._owner:
            self._record_owner(self._owner)

    def sync(self) -> None:
        """Put what has changed on stable storage. Raises ``MetadataError``; then the next call writes it again.

        A piece is noted as saved before it is read, so that a change in the meantime is written the next time. The
        kernel may drop what it failed to write (fsync(2)): after an error, everything counts as not written.
        """
        bitmap = self.bitmap
        width, seals_width = 1 << bitmap.piece_shift >> 3, 4 << SEALS_SHIFT  # bytes of a piece
        pieces, seals = bitmap.take_touched(), bitmap.take_touched_seals()
        if not pieces and not seals and not self._unsettled:
            return
        self._unsettled = True
        try:
            for first, end in _runs(pieces):
                self._write(self._view[: self._seals_at], self.HEAD + first * width, self.HEAD + end * width)
            for first, end in _runs(seals):
                self._write(self._view, self._seals_at + first * seals_width, self._seals_at + end * seals_width)
            self._flush()
        except OSError as error:
            for piece in pieces:
                bitmap.touched[piece] = CHANGED
            for piece in seals:
                bitmap.touched_seals[piece] = CHANGED
            raise StateDirectoryError(f"cannot write the bitmap {self.path} ({error.strerror})") from error
        self._unsettled = False

    def close(self) -> None:
        """Write everything out, and give the memory up: the file has the exact bits now. Raises ``MetadataError``.

        After an error the memory stays for the next opening. It is unmapped when nobody looks at its bits any more.
        """
        try:
            self.sync()
            self._record_owner(_SAVED)
            self._forget()
        finally:
            self._close()

    def _record_owner(self, owner: bytes) -> None:
        """Record in place, in one sector, where the exact bits are."""
        try:
            content = owner + checksum(owner).to_bytes(8, "little")
            self._write(memoryview(bytes(_OWNER_AT) + content), _OWNER_AT, _OWNER_AT + len(content))
            self._flush()
        except OSError as error:
            raise StateDirectoryError(f"cannot write the bitmap {self.path} ({error.strerror})") from error
        self._recorded = owner

    def _read_owner(self) -> bytes:
        content = os.pread(self._fd, _OWNER_BYTES + 8, _OWNER_AT)
        owner = content[:_OWNER_BYTES]
        return owner if content[_OWNER_BYTES:] == checksum(owner).to_bytes(8, "little") else _NOBODY

    # --- what the operating system does --------------------------------------------------------------

    def _open(self, header: bytes, length: int, target: str) -> None:
        path = self.path
        if not path.exists():
            self.created = True
        elif path.stat().st_size != length or _head(path, len(header)) != header:
            self.damage = f"{path} is not the bitmap of {target} in this mirror, or its first page is damaged"
        if self.created or self.damage:
            self._create(header, length)
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def _create(self, header: bytes, length: int) -> None:
        fresh = self.path.with_name(f".{self.path.name}.new")
        fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            # Allocated, not sparse: a full disk must show now, and not in the middle of a write.
            os.posix_fallocate(fd, 0, length)
            os.pwrite(fd, header, 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        fresh.replace(self.path)
        durable_file.sync_directory(self.path.parent)

    def _write(self, view: memoryview, at: int, end: int) -> None:
        end = min(end, len(view))
        while at < end:
            at += os.pwrite(self._fd, view[at:end], at)

    def _flush(self) -> None:
        os.fdatasync(self._fd)

    def _read_into(self, view: memoryview, offset: int) -> None:
        at = 0
        while at < len(view):
            count = os.preadv(self._fd, [view[at : at + _READ]], offset + at)
            if not count:
                raise OSError(errno.EIO, "it has become shorter")
            at += count

    def _close(self) -> None:
        os.close(self._fd)

    def _new_owner(self) -> bytes:
        return os.urandom(_OWNER_BYTES // 2).hex().encode()

    def _reopen(self, label: bytes, length: int) -> memoryview | None:
        kept = bits_memory.reopen(self._memory, label, length)
        return None if kept is None else memoryview(kept)

    def _fresh(self, label: bytes, length: int) -> tuple[memoryview, str]:
        memory, not_kept = bits_memory.fresh(self._memory, label, length)
        return memoryview(memory), not_kept

    def _forget(self) -> None:
        bits_memory.remove(self._memory)

    def _aligned(self, length: int) -> int:
        return -(-length // self.ALIGN) * self.ALIGN


def _head(path: Path, length: int) -> bytes:
    with path.open("rb") as file:
        return file.read(length)


def _runs(pieces: list[int]) -> Iterator[tuple[int, int]]:
    """Join neighbouring pieces, at most ``_JOINED`` at a time; yield (first, end)."""
    first = 0
    while first < len(pieces):
        end = first + 1
        while end < len(pieces) and end - first < _JOINED and pieces[end] == pieces[end - 1] + 1:
            end += 1
        yield pieces[first], pieces[end - 1] + 1
        first = end
