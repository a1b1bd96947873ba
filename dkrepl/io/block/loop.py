"""The loop device in front of the FUSE file: attach, recognise, detach.

Source: loop(4), ``include/uapi/linux/loop.h``. Attaching, and detaching too, makes the kernel ask the FUSE
session (OPEN, GETATTR, the last writes): call ``attach`` and ``LoopDevice.detach`` from a thread while
another serves the session, or both wait for each other.

Loop devices belong to the whole machine, containers included; so nothing is detached that is not provably ours.
Driven by ioctl, and not through losetup(8), because LOOP_CONFIGURE attaches, sets direct I/O and labels in one step,
and the label is what makes a device provably ours.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from dkrepl.errors import HostError
from dkrepl.io.block import loop_numbers

_LOOP_CLR_FD = 0x4C01
_LOOP_GET_STATUS64 = 0x4C05
_LOOP_CONFIGURE = 0x4C0A
_CONFIGURE_SINCE = (5, 8)  # the first Linux that has LOOP_CONFIGURE: loop(4)
_LO_FLAGS_DIRECT_IO = 16

#: struct loop_info64: device, inode, rdevice, offset, sizelimit, number, encrypt_type, encrypt_key_size,
#: flags, file_name, crypt_name, encrypt_key, init[2].
_INFO = Struct("<QQQQQIIII64s64s32sQQ")
#: struct loop_config: fd, block_size, info, reserved.
_CONFIG_HEAD = Struct("<II")
_CONFIG_SIZE = _CONFIG_HEAD.size + _INFO.size + 64

_ATTACH_TRIES = 64
#: Logical sector of the device in bytes. 512, so that an existing file system fits whatever it was made on.
SECTOR = 512


def label(path: Path) -> str:
    """Return the name that the kernel keeps for a device attached to ``path``: at most 63 bytes.

    A path alone would not do: every container has its /run/dkrepl/r0.device, and all share the loop devices. The
    directory of the file is one inode of one file system, in every mount namespace. (Not the file itself: FUSE is
    mounted over it.) Raises HostError if there is no such directory.
    """
    try:
        directory = os.stat(path.parent)
    except OSError as error:
        raise HostError(f"cannot look at the directory {path.parent} ({error.strerror})") from error
    name = os.fsencode(path.name)
    short = path.name if len(name) <= 24 else hashlib.blake2b(name, digest_size=12).hexdigest()
    return f"dkrepl:{directory.st_dev:x}:{directory.st_ino:x}:{short}"


@dataclass(frozen=True)
class LoopDevice:
    """A loop device that is attached to ``backing``; ``label`` is what the kernel knows it by."""

    number: int
    backing: Path
    label: str

    @property
    def path(self) -> Path:
        """The block device node."""
        return Path(f"/dev/loop{self.number}")

    @property
    def sys(self) -> Path:
        """The directory of the device in sysfs."""
        return Path(f"/sys/block/loop{self.number}")

    def is_ours(self) -> bool:
        """Report whether the device is attached, and to ``backing``."""
        return _label_of(self.number) == self.label

    def detach(self, timeout: float = 10.0) -> bool:
        """Detach the device if it is attached to ``backing``; return whether it is free within ``timeout`` s.

        A device that somebody still has open is detached by the kernel when it is closed; then the result is
        False. A device that was detached, or attached to something else meanwhile, is left alone (True).
        """
        deadline = time.monotonic() + timeout
        if not self.is_ours():
            return True
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.ENOENT):
                return True
            raise HostError(f"cannot open {self.path} to detach it ({error.strerror})") from error
        try:
            fcntl.ioctl(fd, _LOOP_CLR_FD)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise HostError(f"cannot detach {self.path} ({error.strerror})") from error
        finally:
            os.close(fd)
        while self.is_ours():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True


def attach(path: Path, size: int | None = None, timeout: float = 10.0) -> LoopDevice:
    """Attach a free loop device to ``path`` with direct I/O, over its first ``size`` bytes (None: all).

    Blocks until the FUSE session has answered. Others may take the number that the kernel names as free, or be stuck
    with it in the kernel; then the next is tried, 64 times and ``timeout`` seconds at most. Raises HostError.
    """
    deadline = time.monotonic() + timeout
    name = label(path)
    try:
        backing = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"cannot open {path} for the loop device ({error.strerror})") from error
    try:
        stuck: set[int] = set()
        for _ in range(_ATTACH_TRIES):
            number = loop_numbers.free_number(stuck)
            if not loop_numbers.can_be_opened(loop_numbers.node(number)):
                stuck.add(number)
            elif _configure(number, backing, path, name, size or 0):
                return LoopDevice(number, path, name)
            if time.monotonic() > deadline:
                break
            time.sleep(0.005)
    finally:
        os.close(backing)
    raise HostError(f"no loop device could be attached to {path}: others took each one that was free; try again")


def find(path: Path) -> list[LoopDevice]:
    """Return the loop devices that are attached to ``path``, such as a dead daemon left behind.

    They are recognised by the label given at attachment, because the kernel no longer knows the path of a
    file whose mount namespace is gone. Does not wait for the FUSE session, which need not be served.
    """
    if not path.parent.is_dir():
        return []
    wanted = label(path)
    numbers = (
        int(entry.name.removeprefix("loop"))
        for entry in Path("/sys/block").glob("loop*")
        if (entry / "loop" / "backing_file").exists()
    )
    return [LoopDevice(number, path, wanted) for number in sorted(numbers) if _label_of(number) == wanted]


def _configure(number: int, backing: int, path: Path, name: str, size: int) -> bool:
    """Attach the device; return False if somebody else was quicker."""
    info = _INFO.pack(0, 0, 0, 0, size, number, 0, 0, _LO_FLAGS_DIRECT_IO, os.fsencode(name), b"", b"", 0, 0)
    config = (_CONFIG_HEAD.pack(backing, SECTOR) + info).ljust(_CONFIG_SIZE, b"\0")
    try:
        fd = os.open(loop_numbers.node(number), os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT, errno.EBUSY):
            return False
        raise HostError(f"cannot open /dev/loop{number} ({error.strerror})") from error
    try:
        fcntl.ioctl(fd, _LOOP_CONFIGURE, config)
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.ENXIO, errno.EAGAIN):
            return False
        if error.errno in (errno.EINVAL, errno.ENOTTY) and _linux() < _CONFIGURE_SINCE:
            text = f"Linux {os.uname().release} cannot attach a loop device as dkrepl needs it: use Linux 5.8 or later"
            raise HostError(text) from error
        raise HostError(f"cannot attach /dev/loop{number} to {path} ({error.strerror})") from error
    finally:
        os.close(fd)
    return True


def _linux() -> tuple[int, ...]:
    """Return the version of the running kernel, as (6, 1)."""
    return tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))


def _label_of(number: int) -> str | None:
    """Return the label of an attached loop device, None if it is not attached or not there.

    The kernel asks the backing file for its inode number only, which FUSE has cached.
    """
    answer = bytearray(_INFO.size)
    try:
        fd = os.open(loop_numbers.node(number), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.ioctl(fd, _LOOP_GET_STATUS64, answer)
    except OSError:
        return None
    finally:
        os.close(fd)
    name: bytes = _INFO.unpack(answer)[9]
    return os.fsdecode(name.split(b"\0", 1)[0])
