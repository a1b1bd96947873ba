"""Which loop devices the containers of a lab have attached, and how they are let go when the containers are gone.

Loop devices belong to the whole kernel: one that a container left attached would outlive it.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterable
from pathlib import Path

from demo.shell import Trouble, run
from tests.lab.waiting import looks

# linux/loop.h: the request, the size of struct loop_info64, and where in it lo_file_name is.
LOOP_GET_STATUS64 = 0x4C05
LOOP_INFO64_SIZE = 232
LOOP_FILE_NAME = slice(56, 120)
DETACH_SECONDS = 10


def labels_of(containers: Iterable[str]) -> list[str]:
    """Return how the labels begin that daemons in these running containers give to their loop devices.

    dkrepl labels each with the identity of its run directory, which no other container has. It is gone with the
    container, and its numbers may be another's then: ask before a container ends, use the answer soon after.
    """
    found = []
    for container in containers:
        where = run("podman", "exec", container, "stat", "-c", "%d %i", "/run/dkrepl", check=False)
        if where:
            device, inode = where.split()
            found.append(f"dkrepl:{int(device):x}:{int(inode):x}:")
    return found


def detach(labels: list[str]) -> None:
    """Detach the loop devices whose label begins as one of those given.

    Raises Trouble if one is still attached after DETACH_SECONDS: the kernel waits for its users.
    """
    for _ in looks(DETACH_SECONDS, 0.1):
        left = attached(labels)
        if not left:
            return
        for device in left:
            run("losetup", "--detach", str(device), check=False)
    raise Trouble(
        f"{', '.join(map(str, left))} of a container that is gone cannot be detached: look at 'losetup --list'"
        " and at who has it open."
    )


def attached(labels: list[str]) -> list[Path]:
    """Return the loop devices whose label begins as one of those given."""
    devices = [Path("/dev") / entry.name for entry in Path("/sys/block").glob("loop*") if _may_be_ours(entry)]
    return [device for device in devices if labels and device.exists() and label_of(device).startswith(tuple(labels))]


def _may_be_ours(entry: Path) -> bool:
    """Whether the file behind a loop device is a mirror's in a container, or one whose mount is gone.

    To ask for the label the device is opened, and to open a stranger's may take for ever.
    """
    try:
        behind = (entry / "loop/backing_file").read_text().strip()
    except OSError:
        return False  # free, or just let go
    return behind == "/" or behind.startswith("/run/dkrepl/")


def label_of(device: Path) -> str:
    """Return the name that a loop device was given when it was attached, or nothing if it is free. See loop(4)."""
    status = bytearray(LOOP_INFO64_SIZE)
    try:
        with open(device, "rb") as opened:
            fcntl.ioctl(opened, LOOP_GET_STATUS64, status)
    except OSError:
        return ""
    return status[LOOP_FILE_NAME].partition(b"\0")[0].decode(errors="replace")
