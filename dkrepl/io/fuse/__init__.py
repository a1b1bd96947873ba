"""A FUSE file system of exactly one regular file, spoken directly over ``/dev/fuse``.

``mount.py`` puts it over a file, ``session.py`` talks to the kernel and hands on each ``request.py``, ``messages.py``
knows the layouts, ``answers.py`` what needs no daemon, and ``buffers.py`` lends the memory of large writes.

By hand, because no binding of libfuse lets a new process take over the connection of one that died, with the requests
it left unanswered, or hands the memory of a write on without a copy.
"""

from dkrepl.io.fuse.messages import MAX_TRANSFER
from dkrepl.io.fuse.request import DISCARD, OP_NAMES, READ, SYNC, WRITE, ZERO, Request
from dkrepl.io.fuse.session import FuseSession, SessionEnded

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
