"""A new file without any data, as a store or as a copy of parts of one."""

from __future__ import annotations

import os
from pathlib import Path

from dkrepl.errors import StoreError


def create_sparse(path: Path, size: int) -> None:
    """Create the file ``path`` of ``size`` bytes without any data; raise StoreError if it exists."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, size)
            os.fsync(fd)
        finally:
            os.close(fd)
    except FileExistsError as error:
        raise StoreError(f"the store {path} exists already; it was left as it is") from error
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StoreError(f"cannot create the store {path} of {size} bytes ({error.strerror})") from error
