"""The device as an application sees it: a real FUSE session, a real loop device, no replication."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dkrepl.io.block import device_link, loop, users
from dkrepl.io.fuse import READ, SYNC, WRITE, FuseSession, Request, mount
from dkrepl.io.store.sparse_file import create_sparse
from dkrepl.io.store.store import BackingStore
from tests.integration.harness.applications import mounted, run

pytestmark = pytest.mark.root

MIB = 1 << 20
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Served:
    """A device served by a process of its own."""

    process: subprocess.Popen[str]
    device: Path
    store: Path
    mountpoint: Path

    def stop(self) -> dict[str, object]:
        """End the server and return what it says at the end."""
        out, _ = self.process.communicate(timeout=40)
        last: dict[str, object] = json.loads(out.splitlines()[-1])
        return last


@contextlib.contextmanager
def serving(directory: Path, size: int) -> Iterator[Served]:
    store, mountpoint = directory / "store.img", directory / "device"
    create_sparse(store, size)
    command = [sys.executable, "-m", "tests.bench.passthrough"]
    process = subprocess.Popen(
        [*command, "--store", str(store), "--mountpoint", str(mountpoint)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 20)[0], "the server was not ready within 20 s"
        ready = json.loads(process.stdout.readline())
        yield Served(process, Path(ready["device"]), store, mountpoint)
    finally:
        if process.poll() is None:
            try:
                process.communicate(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        clean(mountpoint)


def clean(mountpoint: Path) -> None:
    for device in loop.find(mountpoint):
        device.detach()
    mount.unmount_all(mountpoint)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, 64 * MIB + 3 * 4096) as one:
        yield one


@pytest.mark.parametrize("job", ["small", "mixed", "large"])
def test_what_fio_writes_it_reads_back(served: Served, job: str) -> None:
    sizes = {"small": "4k", "mixed": "4k-1m", "large": "1m"}
    run(
        "fio",
        f"--name={job}",
        f"--filename={served.device}",
        f"--bsrange={sizes[job]}" if "-" in sizes[job] else f"--bs={sizes[job]}",
        *("--rw=randwrite", "--size=48m", "--direct=1", "--ioengine=libaio", "--iodepth=32"),
        *("--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--verify_backlog=64", "--verify_state_save=0"),
    )
    assert served.stop()["freed"] is True


@pytest.mark.parametrize("blocks", [1, 3, 257, 16385])
def test_the_device_is_as_long_as_the_store(tmp_path: Path, blocks: int) -> None:
    size = blocks * 4096
    with serving(tmp_path, size) as served:
        assert int(run("blockdev", "--getsize64", served.device)) == size
        data = os.urandom(4096)
        with open(served.device, "r+b", buffering=0) as device:
            device.seek(size - 4096)
            device.write(data)
            os.fsync(device.fileno())
            assert device.seek(0, os.SEEK_END) == size
        assert served.stop()["freed"] is True
        assert served.store.stat().st_size == size
        assert served.store.read_bytes()[-4096:] == data


@pytest.mark.parametrize(("option", "seen"), [((), "discard"), (("-z",), "zero")])
def test_discarded_and_zeroed_ranges_read_as_zeroes(served: Served, option: tuple[str, ...], seen: str) -> None:
    run("dd", "if=/dev/urandom", f"of={served.device}", "bs=1M", "count=16", "oflag=direct", "status=none")
    before = served.store.read_bytes()[: 16 * MIB]
    run("blkdiscard", *option, "-o", 4096, "-l", 8 * MIB, served.device)
    with open(served.device, "rb") as device:
        after = device.read(16 * MIB)
    assert after == before[:4096] + bytes(8 * MIB) + before[8 * MIB + 4096 :]
    last = served.stop()
    count = last[seen]
    assert isinstance(count, int)
    assert count >= 1, "it reached the server as what it is, not as data"
    if seen == "discard":
        assert served.store.stat().st_blocks * 512 <= 9 * MIB, "the space was given back"


def test_a_file_system_lives_on_it(served: Served, tmp_path: Path) -> None:
    run("mkfs.ext4", "-q", "-E", "nodiscard", served.device)
    with mounted(served.device, tmp_path / "mnt") as point:
        run("cp", "-r", ROOT / "dkrepl", point)
        run("sync", "-f", point)
        run("fstrim", point)
    run("e2fsck", "-fn", served.device)
    last = served.stop()
    assert last["freed"] is True
    assert isinstance(last["sync"], int)
    assert last["sync"] > 0, "flushes reach the server"
    run("e2fsck", "-fn", served.store)


def test_nothing_is_left_behind(served: Served) -> None:
    number = served.device.name.removeprefix("loop")
    assert mount.is_mounted(served.mountpoint)
    assert [device.path for device in loop.find(served.mountpoint)] == [served.device]
    assert served.stop()["freed"] is True
    assert loop.find(served.mountpoint) == []
    assert not mount.is_mounted(served.mountpoint)
    assert served.mountpoint.read_bytes() == b""
    backing = Path(f"/sys/block/loop{number}/loop/backing_file")
    assert not backing.exists() or str(served.mountpoint) not in backing.read_text()


def test_a_killed_server_leaves_a_device_that_the_next_one_finds(served: Served) -> None:
    served.process.kill()
    served.process.wait()
    (device,) = loop.find(served.mountpoint)
    assert device.path == served.device
    assert device.detach() is True
    with serving(served.mountpoint.parent / "next", 8 * MIB) as after:
        assert after.stop()["freed"] is True


def test_only_its_own_device_is_detached(served: Served, tmp_path: Path) -> None:
    number = int(served.device.name.removeprefix("loop"))
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / served.mountpoint.name
    assert loop.LoopDevice(number, other, loop.label(other)).detach() is True
    assert len(loop.find(served.mountpoint)) == 1


def test_the_same_path_in_another_container_is_another_device(served: Served) -> None:
    """Two containers, one path, one kernel: a file system of its own over the directory stands for the other."""
    script = f"""
import sys
from pathlib import Path
from dkrepl.io.block import loop
path = Path({str(served.mountpoint)!r})
for device in loop.find(path):
    device.detach()
sys.exit(len(loop.find(path)))
"""
    inside = f'mount -t tmpfs other {served.mountpoint.parent} && exec {sys.executable} -c "$SCRIPT"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", inside], cwd=ROOT, env={**os.environ, "SCRIPT": script}, timeout=60
    )
    assert done.returncode == 0
    assert len(loop.find(served.mountpoint)) == 1


def test_a_long_name_is_found_again(tmp_path: Path) -> None:
    name = tmp_path / ("m" * 200)
    assert len(os.fsencode(loop.label(name))) <= 63
    assert loop.label(name) != loop.label(tmp_path / ("m" * 201))


def test_a_device_in_use_says_by_whom(served: Served, tmp_path: Path) -> None:
    assert users.users(served.device) == []
    run("mkfs.ext4", "-q", served.device)
    with mounted(served.device, tmp_path / "mnt") as point:
        assert f"mounted on {point}" in users.users(served.device)
        (device,) = loop.find(served.mountpoint)
        assert device.detach(timeout=0.2) is False
        (point / "still").write_text("alive")
    assert device.detach() is True
    with open(served.store, "rb") as holder:
        sleeper = subprocess.Popen(["sleep", "60"], stdin=holder)
    try:
        assert users.users(served.store) == [], "a file is no block device"
    finally:
        sleeper.kill()
        sleeper.wait()


def test_the_link_is_replaced_in_one_step_and_removed_only_if_it_is_ours(tmp_path: Path) -> None:
    link = tmp_path / "dkrepl" / "r0"
    device_link.set_link(link, Path("/dev/loop100"))
    device_link.set_link(link, Path("/dev/loop101"))
    assert os.readlink(link) == "/dev/loop101"
    device_link.remove_link(link, Path("/dev/loop100"))
    assert link.is_symlink()
    device_link.remove_link(link, Path("/dev/loop101"))
    assert os.listdir(link.parent) == []


def test_a_successor_is_sent_what_its_predecessor_did_not_answer(tmp_path: Path) -> None:
    """The first session takes requests and never answers; the second one adopts the descriptor."""
    path, mountpoint = tmp_path / "store.img", tmp_path / "device"
    create_sparse(path, 8 * MIB)
    store = BackingStore(path)
    first = FuseSession.mount(mountpoint, store.size)
    second_fd = os.dup(first.fd)
    swallowed: list[Request] = []
    done = threading.Event()

    def serve(session: FuseSession, swallow: bool) -> None:
        poll = select.poll()
        poll.register(session.fd, select.POLLIN)
        while not done.is_set() and not (swallow and len(swallowed) >= 4):
            if not poll.poll(50):
                continue
            request = session.receive()
            if request is None:
                continue
            if swallow and request.op == WRITE:
                swallowed.append(request)
            elif request.op == WRITE:
                store.write(request.offset, request.data)
                session.reply_written(request.unique, request.length)
            elif request.op == READ:
                session.reply_data(request.unique, store.read(request.offset, request.length))
            elif request.op == SYNC:
                session.reply_ok(request.unique)

    threads = [threading.Thread(target=serve, args=(first, True))]
    threads[0].start()
    second = None
    try:
        device = loop.attach(mountpoint)
        fio = subprocess.Popen(
            [
                *("fio", "--name=a", f"--filename={device.path}", "--rw=randwrite", "--bs=4k", "--size=4m"),
                *("--direct=1", "--ioengine=libaio", "--iodepth=8", "--verify=crc32c", "--verify_fatal=1"),
                "--verify_state_save=0",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threads[0].join(20)
        assert len(swallowed) == 4, "the first server took four writes"
        assert fio.poll() is None, "fio waits for an answer"
        os.close(first.fd)
        second = FuseSession.adopt(second_fd, store.size, mountpoint)
        threads.append(threading.Thread(target=serve, args=(second, False)))
        threads[1].start()
        out, _ = fio.communicate(timeout=60)
        assert fio.returncode == 0, out
        assert device.detach() is True
    finally:
        deadline = time.monotonic() + 10
        for left in loop.find(mountpoint):
            left.detach(max(0.1, deadline - time.monotonic()))
        done.set()
        for thread in threads:
            thread.join(10)
        if second is not None:
            second.close()
        mount.unmount_all(mountpoint)
        store.close()
