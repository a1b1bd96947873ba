"""Mounting a FUSE file system whose root is a regular file, and taking it away again.

Source: mount(2), umount2(2), ``Documentation/filesystems/fuse.rst``. The descriptor of ``/dev/fuse`` is the
connection; the mount lives as long as somebody uses it, even if its mount namespace is gone.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from pathlib import Path

from dkrepl.errors import HostError

_libc = ctypes.CDLL(None, use_errno=True)

_MS_NOSUID = 2
_MS_NODEV = 4
_MS_NOEXEC = 8
_MNT_FORCE = 1
_MNT_DETACH = 2
FILE_SYSTEM = "fuse.dkrepl"


def open_connection() -> int:
    """Return a new descriptor of ``/dev/fuse``, close-on-exec; raise HostError if there is none to be had."""
    try:
        return os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(
            f"cannot open /dev/fuse ({error.strerror}): load the fuse module and give this process the device"
        ) from error


def mount(connection: int, mountpoint: Path) -> None:
    """Mount ``connection`` over the regular file ``mountpoint``, which is created if it is missing.

    A mount left there by a daemon that is gone is taken away first. Raises HostError.
    """
    unmount_all(mountpoint)
    try:
        mountpoint.parent.mkdir(parents=True, exist_ok=True)
        if not stat.S_ISREG(mountpoint.stat().st_mode):
            raise HostError(f"{mountpoint} is not a regular file: remove it, or choose another run directory")
    except FileNotFoundError:
        os.close(os.open(mountpoint, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    options = f"fd={connection},rootmode={stat.S_IFREG:o},user_id=0,group_id=0,default_permissions"
    result = _libc.mount(
        b"dkrepl",
        os.fsencode(mountpoint),
        FILE_SYSTEM.encode(),
        ctypes.c_ulong(_MS_NOSUID | _MS_NODEV | _MS_NOEXEC),
        options.encode(),
    )
    if result != 0:
        code = ctypes.get_errno()
        remedy = "run as root" if code == errno.EPERM else "check that the kernel has FUSE"
        raise HostError(f"cannot mount FUSE on {mountpoint} ({os.strerror(code)}): {remedy}")


def unmount(mountpoint: Path) -> bool:
    """Take the mount away from ``mountpoint``, lazily; what is asked of it fails; return False if there was none."""
    # Forced, too: a daemon that was killed while the kernel asked it something on behalf of one of its own threads, as
    # LOOP_CONFIGURE does, cannot go before that is answered, and its connection not before it goes: umount(2).
    if _libc.umount2(os.fsencode(mountpoint), _MNT_DETACH | _MNT_FORCE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOENT):
        return False
    raise HostError(f"cannot unmount {mountpoint} ({os.strerror(code)})")


def unmount_all(mountpoint: Path) -> int:
    """Take away every dkrepl mount stacked on ``mountpoint``; return how many there were."""
    count = 0
    while is_mounted(mountpoint) and unmount(mountpoint):
        count += 1
    return count


def is_mounted(mountpoint: Path) -> bool:
    """Report whether a dkrepl file system is mounted on ``mountpoint`` in this mount namespace."""
    # The parent is resolved, not the file: asking a dead FUSE file for anything is an error.
    wanted = str(mountpoint.parent.resolve() / mountpoint.name)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.split(" ")
            after = fields.index("-")
            if fields[after + 1] == FILE_SYSTEM and _unescape(fields[4]) == wanted:
                return True
    return False


def _unescape(path: str) -> str:
    for octal, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(octal, character)
    return path
