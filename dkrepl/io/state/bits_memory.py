"""Memory for an intent bitmap that cannot fault, and that outlives the process within a boot of the kernel.

A store to a mapped file raises SIGBUS if its file system has no space for the page, or cannot read it. The pages of a
file in tmpfs are memory themselves: once allocated they are there, and they vanish with the boot. Where there is no
tmpfs, or too little of it, anonymous memory serves, and the death of the process then counts as a power loss.

Source: tmpfs(5), posix_fallocate(3), proc_pid_mountinfo(5).
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Collection
from pathlib import Path

_LEFT_FREE = 4  # a fourth of the file system stays free for everything else that lives in /run


def reopen(path: Path, label: bytes, length: int) -> mmap.mmap | None:
    """Return the memory that an earlier process left at ``path``; None unless it is that of ``label``, and whole."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(fd)
            whole = found.st_size == length and found.st_blocks * 512 >= length
            if whole and _is_tmpfs(found.st_dev) and os.pread(fd, len(label), 0) == label:
                return mmap.mmap(fd, length)
        finally:
            os.close(fd)
    return None


def fresh(path: Path, label: bytes, length: int) -> tuple[mmap.mmap, str]:
    """Return new memory that begins with ``label``, and why it will not outlive the process: "" if it will.

    What was at ``path`` before is removed. Raises ``OSError`` if there is no memory at all.
    """
    try:
        return _in_tmpfs(path, label, length), ""
    except OSError as error:
        why = f"no memory at {path} that outlives the daemon: {error.strerror}"
    remove(path)
    memory = mmap.mmap(-1, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[: len(label)] = label
    return memory, why


def remove(path: Path) -> None:
    """Give up what is kept at ``path``. A file that cannot be removed does no harm: nothing refers to it."""
    with contextlib.suppress(OSError):
        path.unlink()


def remove_others(directory: Path, names: Collection[str]) -> None:
    """Remove the memory of peers that are not among ``names``."""
    with contextlib.suppress(OSError):
        for path in list(directory.iterdir()):
            if path.name not in names:
                remove(path)


def _in_tmpfs(path: Path, label: bytes, length: int) -> mmap.mmap:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if not _is_tmpfs(os.fstat(fd).st_dev):
            raise OSError(0, "it is not on a tmpfs")
        space = os.fstatvfs(fd)
        if (space.f_bavail * space.f_frsize) - length < space.f_blocks * space.f_frsize // _LEFT_FREE:
            raise OSError(0, f"{length} bytes would leave less than a quarter of the tmpfs free")
        os.posix_fallocate(fd, 0, length)
        os.pwrite(fd, label, 0)
        return mmap.mmap(fd, length)
    finally:
        os.close(fd)


def _is_tmpfs(device: int) -> bool:
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        if fields[2] == wanted:
            return fields[fields.index("-") + 1] == "tmpfs"
    return False
