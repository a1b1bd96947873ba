"""Who uses a block device? Asked before the device is taken away from under them.

Looks at mount points in every mount namespace, open files of every process, swap, and devices stacked on top
(sysfs ``holders``). Source: proc(5), ``Documentation/ABI/stable/sysfs-block``. Not from psutil, whose ``open_files``
lists regular files only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")


def users(device: Path) -> list[str]:
    """Return one short text for each user of the block device ``device``, links followed; empty if unused.

    This process is left out. Needs root to see other users' processes; what cannot be seen is left out.
    """
    try:
        found = device.stat()
    except OSError:
        return []
    if not stat.S_ISBLK(found.st_mode):
        return []
    number = found.st_rdev
    return [*_mounts(number), *_swaps(number), *_holders(number), *_processes(number)]


def _processes_listed() -> Iterator[Path]:
    own = str(os.getpid())
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and entry.name != own:
            yield entry


def _mounts(number: int) -> list[str]:
    """Return the mount points, once for each mount namespace that has its own."""
    wanted = f"{os.major(number)}:{os.minor(number)}"
    seen_spaces: set[str] = set()
    points: dict[str, None] = {}
    for process in (_PROC / "self", *_processes_listed()):
        try:
            space = os.readlink(process / "ns" / "mnt")
            if space in seen_spaces:
                continue
            seen_spaces.add(space)
            lines = (process / "mountinfo").read_text(errors="surrogateescape").splitlines()
        except OSError:
            continue
        for line in lines:
            fields = line.split(" ")
            if len(fields) > 4 and fields[2] == wanted:
                points[f"mounted on {fields[4]}"] = None
    return list(points)


def _swaps(number: int) -> list[str]:
    try:
        lines = (_PROC / "swaps").read_text().splitlines()[1:]
    except OSError:
        return []
    for line in lines:
        try:
            if os.stat(line.split()[0]).st_rdev == number:
                return ["used as swap"]
        except (OSError, IndexError):
            continue
    return []


def _holders(number: int) -> list[str]:
    base = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    holders = sorted(holder.name for holder in base.glob("holders/*"))
    # A loop device on top is no holder: it has a file open, and only sysfs knows which.
    names = _names_of(number)
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if file.read_text().rstrip("\n") in names:
                holders.append(file.parent.parent.name)
        except OSError:
            continue
    return [f"used by {name}" for name in holders]


def _names_of(number: int) -> set[str]:
    try:
        name = os.path.basename(os.readlink(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}"))
    except OSError:
        return set()
    return {f"/dev/{name}"}


def _processes(number: int) -> list[str]:
    found = []
    for process in _processes_listed():
        if _has_open(process, number):
            try:
                name = (process / "comm").read_text().rstrip("\n")
            except OSError:
                continue
            found.append(f"opened by {name} (process {process.name})")
    return found


def _has_open(process: Path, number: int) -> bool:
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:
        return False
    for descriptor in descriptors:
        try:
            # Only a name in /dev is worth a stat, which on a file of a dead FUSE server could block.
            if not os.readlink(descriptor).startswith("/dev/"):
                continue
            status = os.stat(descriptor)
        except OSError:
            continue
        if stat.S_ISBLK(status.st_mode) and status.st_rdev == number:
            return True
    return False
