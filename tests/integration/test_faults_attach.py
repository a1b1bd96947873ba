"""A daemon dies in the middle of attaching its loop device: nobody else is held up, its successor clears it away."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dkrepl.io.block import loop
from dkrepl.io.fuse import mount
from dkrepl.io.store.sparse_file import create_sparse
from tests.integration.harness.node import ROOT
from tests.lab.waiting import LONG, wait_for

pytestmark = pytest.mark.root

# Serves its file until LOOP_CONFIGURE, which asks it something too; from then on nobody answers.
_DAEMON = """
import fcntl, sys, threading
from pathlib import Path
from dkrepl.io.block import loop
from dkrepl.io.fuse import FuseSession

mountpoint = Path(sys.argv[1])
mountpoint.touch()
session = FuseSession.mount(mountpoint, 1 << 20)
configures, stopped = threading.Event(), threading.Event()
ioctl = fcntl.ioctl

def configure(fd, request, *rest):
    if request == loop._LOOP_CONFIGURE:
        configures.set()
        stopped.wait()
    return ioctl(fd, request, *rest)

def serve():
    while not configures.is_set():
        session.receive()
    stopped.set()

loop.fcntl.ioctl = configure
threading.Thread(target=serve, daemon=True).start()
loop.attach(mountpoint, timeout=60)
"""
_IOCTL, _LOOP_CONFIGURE = "16", "0x4c0a"


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that hangs in the kernel, in the middle of attaching a loop device to ``tmp_path / "device"``."""
    process = subprocess.Popen([sys.executable, "-c", _DAEMON, str(tmp_path / "device")], cwd=ROOT)
    try:
        wait_for(lambda: _in_configure(process.pid), bool, "it configures its loop device")
        yield process
    finally:
        process.kill()
        mount.unmount_all(tmp_path / "device")
        process.wait(LONG)
        for device in loop.find(tmp_path / "device"):  # from before its death to the end of its last system call
            device.detach(LONG)


def _in_configure(pid: int) -> bool:
    calls = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/syscall")]
    return any(call[0] == _IOCTL and call[2] == _LOOP_CONFIGURE for call in calls if len(call) > 2)


def test_another_device_is_attached_while_somebody_is_stuck_with_his(
    stuck: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    create_sparse(tmp_path / "other", 1 << 20)
    device = loop.attach(tmp_path / "other", timeout=LONG)
    try:
        assert stuck.poll() is None
        assert device.path.open("rb").read(512) == bytes(512)
    finally:
        device.detach(LONG)


def test_one_who_was_killed_while_attaching_is_gone_when_his_mount_is_taken_away(
    stuck: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    stuck.kill()
    assert mount.unmount_all(tmp_path / "device") == 1
    stuck.wait(LONG)  # it ends only when the kernel lets go of its last thread
