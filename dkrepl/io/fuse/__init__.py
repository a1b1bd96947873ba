"""A FUSE file system of exactly one regular file, spoken directly over ``/dev/fuse``.

``mount.py`` puts it over a file, ``session.py`` talks to the kernel, ``messages.py`` knows the layouts,
``answers.py`` what needs no daemon, and ``buffers.py`` lends the memory in which large writes arrive.
"""

from dkrepl.io.fuse.session import (
    DISCARD,
    MAX_TRANSFER,
    OP_NAMES,
    READ,
    SYNC,
    WRITE,
    ZERO,
    FuseSession,
    Request,
    SessionEnded,
)

__all__ = [
    "DISCARD",
    "MAX_TRANSFER",
    "OP_NAMES",
    "READ",
    "SYNC",
    "WRITE",
    "ZERO",
    "FuseSession",
    "Request",
    "SessionEnded",
]
