"""The files of the intent log: a memory-mapped bitmap for each target, and the record of active extents.

A bitmap file is a page that says what it is, then the bits, then the seals, each padded to pages:

    page 0   mark 8 B, format 4 B, block 4 B, extent 4 B, size 8 B, node 64 B, peer 64 B, checksum 8 B
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from xxhash import xxh3_64_intdigest as checksum

from dkrepl.core import active_record
from dkrepl.core.bitmap import IntentBitmap
from dkrepl.core.errors import MetadataError, StateDirectoryError
from dkrepl.core.metadata import NodeMetadata
from dkrepl.io import durable_file

_PAGE = mmap.PAGESIZE
_MARK = b"dkbitmp1"
_HEADER = struct.Struct("<8sIIIQ64s64s")
_FORMAT = 1


class BitmapFile:
    """An open bitmap file; ``created`` if it was not there before, ``damage`` says what is wrong with it, or ""."""

    def __init__(self, path: Path, metadata: NodeMetadata, target: str) -> None:
        """Open or create the bitmap of ``target``. A file that cannot be trusted is replaced by a new one.

        A new one passes no check until the caller fills it, so that a crash in between is found out as damage.
        Raises ``MetadataError`` if the file system fails.
        """
        self.path = path
        self.damage = ""
        self.created = False
        per = metadata.extent // metadata.block
        blocks = -(-metadata.size // metadata.block)
        bits = _pages(IntentBitmap.bits_bytes(blocks, per))
        seals = _pages(IntentBitmap.seals_bytes(blocks, per))
        length = _PAGE + bits + seals
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
            if not path.exists():
                self.created = True
            elif path.stat().st_size != length or path.read_bytes()[: len(header)] != header:
                self.damage = f"{path} is not the bitmap of {target} in this mirror, or its first page is damaged"
            if self.created or self.damage:
                self._create(header, length)
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                self._map = mmap.mmap(fd, length)
            finally:
                os.close(fd)
        except OSError as error:
            raise StateDirectoryError(
                f"cannot use the bitmap {path} ({error.strerror}); check its file system"
            ) from error
        view = memoryview(self._map)
        self.bitmap = IntentBitmap(view[_PAGE : _PAGE + bits], view[_PAGE + bits :], blocks, per)
        if self.created or self.damage:
            self.bitmap.fill(1 if self.damage else 0)

    def sync(self) -> None:
        """Put the changed pages on stable storage: msync(2). Raises ``MetadataError``."""
        try:
            self._map.flush()
        except OSError as error:
            raise StateDirectoryError(f"cannot flush the bitmap {self.path} ({error.strerror})") from error

    def close(self) -> None:
        """Flush the file; it is unmapped when nobody looks at its bits any more. Raises ``MetadataError``."""
        self.sync()

    def _create(self, header: bytes, length: int) -> None:
        fresh = self.path.with_name(f".{self.path.name}.new")
        fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            # Allocated, not sparse: a full disk must show now, and not as SIGBUS in the middle of a write.
            os.posix_fallocate(fd, 0, length)
            os.pwrite(fd, header, 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        fresh.replace(self.path)
        durable_file.sync_directory(self.path.parent)


class ActiveFile:
    """The record of active extents on stable storage."""

    def __init__(self, path: Path) -> None:
        """Read the record. ``damage`` says what is wrong with it, or "". Raises ``MetadataError``."""
        self.path = path
        self.damage = ""
        self._fd = -1
        try:
            self.created = not path.exists()
            content = active_record.empty_file() if self.created else path.read_bytes()
        except OSError as error:
            raise StateDirectoryError(f"cannot use {path} ({error.strerror}); check its file system") from error
        try:
            self.record = active_record.parse(content)
        except MetadataError as error:
            self.damage = f"{path}: {error}"
            self.record = active_record.parse(active_record.empty_file())

    def open(self) -> None:
        """Make it ready for ``write``; replaces a record that is missing or damaged. Raises ``MetadataError``.

        To be called when the bitmaps durably say what the record told, or could not tell, for that is lost now.
        """
        if self.created or self.damage:
            durable_file.replace(self.path, active_record.empty_file())
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            # A killed predecessor's last commit may be in memory only; the next one overwrites the one before it.
            os.fdatasync(self._fd)
        except OSError as error:
            raise StateDirectoryError(f"cannot use {self.path} ({error.strerror}); check its file system") from error

    def write(self, serial: int, extents: Iterable[int]) -> None:
        """Commit ``extents`` as active, durably (R1). Raises ``MetadataError``."""
        offset, content = active_record.pack(serial, tuple(extents))
        try:
            os.pwrite(self._fd, content, offset)
            os.fdatasync(self._fd)
        except OSError as error:
            raise StateDirectoryError(f"cannot write {self.path} ({error.strerror}); check its file system") from error

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)


def _pages(length: int) -> int:
    return -(-length // _PAGE) * _PAGE
