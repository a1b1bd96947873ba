"""Which loop device is free, and its node in /dev.

Loop devices belong to the whole machine, containers included; so a number is asked for at the moment it is needed, and
a node that is missing from /dev is made. Source: loop(4), ``include/uapi/linux/loop.h``.
"""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
from pathlib import Path

from dkrepl.errors import HostError

_LOOP_MAJOR = 7
_LOOP_CTL_ADD = 0x4C80
_LOOP_CTL_GET_FREE = 0x4C82
_MOST_NUMBERS = 256
_PROBE_SECONDS = 2.0


def free_number(stuck: set[int]) -> int:
    """Return the number that the kernel names as free; if that is ``stuck``, another that nobody has attached."""
    try:
        control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(
            f"cannot open /dev/loop-control ({error.strerror}): run as root, and load the loop module"
        ) from error
    try:
        number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
        if number not in stuck:
            return number
        for number in range(_MOST_NUMBERS):
            device = Path(f"/sys/block/loop{number}")
            if not device.exists():
                return fcntl.ioctl(control, _LOOP_CTL_ADD, number)
            if number not in stuck and not (device / "loop").exists():
                return number
        raise HostError(f"each of {_MOST_NUMBERS} loop devices is in use, or stuck; see losetup, and dmesg")
    except OSError as error:
        raise HostError(f"the kernel has no free loop device ({error.strerror}): detach some, see losetup") from error
    finally:
        os.close(control)


def can_be_opened(device: Path) -> bool:
    """Whether opening a loop device returns. It does not while somebody is stuck in the middle of attaching it.

    Found out by a process of its own: one that is stuck in the kernel cannot be killed, and keeps its descriptors open,
    among which must not be the FUSE connection of this daemon.
    """
    command = ("/bin/sh", "-c", ': < "$0"', str(device))
    probe = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        probe.wait(_PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        probe.kill()
        return False
    return True


def node(number: int) -> Path:
    """Return the device node of a loop device; make it where no udev does, as in a container."""
    path = Path(f"/dev/loop{number}")
    device = os.makedev(_LOOP_MAJOR, number)
    try:
        found = path.stat()
        if stat.S_ISBLK(found.st_mode) and found.st_rdev == device:
            return path
        raise HostError(f"{path} is not loop device {number}: remove it")
    except FileNotFoundError:
        pass
    try:
        os.mknod(path, stat.S_IFBLK | 0o660, device)
    except FileExistsError:
        pass
    except OSError as error:
        raise HostError(f"cannot make the device node {path} ({error.strerror})") from error
    return path
