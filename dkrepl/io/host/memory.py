"""How the process deals with the kernel's memory: two settings made once, when a daemon starts.

Source: mallopt(3), prctl(2) PR_SET_IO_FLUSHER (Linux 5.6).
"""

from __future__ import annotations

import ctypes
from typing import Final

_PR_SET_IO_FLUSHER: Final = 57
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_LARGEST_MESSAGE: Final = 4 << 20
_KEPT: Final = 32 << 20


def keep_freed_memory() -> bool:
    """Keep up to 32 MiB of freed memory instead of giving it back at once; False if the C library cannot.

    A target gets a fresh 1 MiB message for every large write. Given back each time, its pages are faulted in again
    for the next one, which costs a target a quarter of its processor time. The bound keeps rule R5.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_MESSAGE)) and bool(mallopt(_M_TRIM_THRESHOLD, _KEPT))


def serve_io() -> bool:
    """Report the kernel that this process serves a block device; False if it may not (CAP_SYS_RESOURCE).

    Under memory pressure the kernel then doesn't make it wait for a write-back that only it can complete.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    return bool(libc.prctl(_PR_SET_IO_FLUSHER, ctypes.c_ulong(1), zero, zero, zero) == 0)
