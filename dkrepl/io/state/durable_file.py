"""Writing a small file so that after a crash it holds either the old content or the new, whole.

What the operating system does not promise by itself: that a write reached stable storage before ``fsync`` of the file
returned, that a rename did before ``fsync`` of the directory, nor that after a failed ``fsync`` a second one tells of
the loss (fsync(2)); so a failure is an error at once and the next replacement starts from a new file.

By hand, because what the records of a mirror survive is decided by the order of these calls, and the tests fail each.
"""

from __future__ import annotations

import os
from pathlib import Path

from dkrepl.errors import StateDirectoryError


def replace(path: Path, content: bytes) -> None:
    """Put ``content`` in place of ``path`` durably. Raises ``MetadataError``; the old content then stays."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        fresh.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise StateDirectoryError(f"cannot write {path} ({error.strerror}); check the file system it is on") from error


def sync(path: Path) -> None:
    """Make a file and its name durable. Raises ``MetadataError``."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_directory(path.parent)
    except OSError as error:
        raise StateDirectoryError(f"cannot flush {path} ({error.strerror}); check the file system it is on") from error


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable. Raises ``OSError``."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
