"""fallocate(2), which Python does not offer: only posix_fallocate(3), which cannot empty a range."""

from __future__ import annotations

import ctypes
import errno
from typing import Final

KEEP_SIZE: Final = 0x01
PUNCH_HOLE: Final = 0x02
ZERO_RANGE: Final = 0x10

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def fallocate(fd: int, mode: int, offset: int, length: int) -> int:
    """Change the space of a range of bytes; return 0, or the errno of what went wrong."""
    while _libc.fallocate(fd, mode, offset, length) != 0:
        code = ctypes.get_errno()
        if code != errno.EINTR:
            return code
    return 0
