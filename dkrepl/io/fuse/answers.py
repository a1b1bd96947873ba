"""What the kernel is told when it asks something that is no business of the daemon's. Pure."""

from __future__ import annotations

import errno
from typing import Final

from dkrepl.io.fuse import messages

UNANSWERED: Final = frozenset({messages.FORGET, messages.BATCH_FORGET, messages.INTERRUPT})
_ERRORS: Final = {
    messages.READ: errno.EINVAL,  # a READ or WRITE that gets here is of another length than it says
    messages.WRITE: errno.EINVAL,
    messages.SETATTR: errno.EPERM,
    messages.IOCTL: errno.ENOTTY,
    messages.COPY_FILE_RANGE: errno.EOPNOTSUPP,
}


def answer(opcode: int, size: int) -> bytes | int:
    """Return the body of the reply to ``opcode`` about a file of ``size`` bytes, or a positive errno.

    ENOSYS, the answer to what is not known here, makes the kernel not ask again.
    """
    if opcode == messages.GETATTR:
        return messages.attributes_reply(size)
    if opcode == messages.OPEN:
        return messages.open_reply()
    if opcode == messages.STATFS:
        return messages.statfs_reply(size)
    if opcode in (messages.RELEASE, messages.DESTROY):
        return b""
    return _ERRORS.get(opcode, errno.ENOSYS)
