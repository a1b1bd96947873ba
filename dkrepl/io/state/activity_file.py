"""The file of the activity log: the extents that may be written, on stable storage before they are (R1)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from dkrepl.core.intent import activity_record
from dkrepl.errors import MetadataError, StateDirectoryError
from dkrepl.io.state import durable_file


class ActivityFile:
    """The activity log on stable storage."""

    def __init__(self, path: Path) -> None:
        """Read the record. ``damage`` says what is wrong with it, or "". Raises ``MetadataError``."""
        self.path = path
        self.damage = ""
        self._fd = -1
        try:
            self.created = not path.exists()
            content = activity_record.empty_file() if self.created else path.read_bytes()
        except OSError as error:
            raise StateDirectoryError(f"cannot use {path} ({error.strerror}); check its file system") from error
        try:
            self.record = activity_record.parse(content)
        except MetadataError as error:
            self.damage = f"{path}: {error}"
            self.record = activity_record.parse(activity_record.empty_file())

    def open(self) -> None:
        """Make it ready for ``write``; replaces a record that is missing or damaged. Raises ``MetadataError``.

        To be called when the bitmaps durably say what the record told, or could not tell, for that is lost now.
        """
        if self.created or self.damage:
            durable_file.replace(self.path, activity_record.empty_file())
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            # A killed predecessor's last commit may be in memory only; the next one overwrites the one before it.
            os.fdatasync(self._fd)
        except OSError as error:
            raise StateDirectoryError(f"cannot use {self.path} ({error.strerror}); check its file system") from error

    def write(self, serial: int, extents: Iterable[int]) -> None:
        """Commit ``extents`` as active, durably (R1). Raises ``MetadataError``."""
        offset, content = activity_record.pack(serial, tuple(extents))
        try:
            os.pwrite(self._fd, content, offset)
            os.fdatasync(self._fd)
        except OSError as error:
            raise StateDirectoryError(f"cannot write {self.path} ({error.strerror}); check its file system") from error

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
