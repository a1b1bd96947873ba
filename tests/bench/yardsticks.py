"""The kernel alone, and dkrepl's device without replication."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from dkrepl.io.block import loop
from dkrepl.io.fuse import mount
from dkrepl.io.store.sparse_file import create_sparse
from tests.bench.contender import Contender, Running
from tests.bench.processes import running, wait_until


@contextlib.contextmanager
def attached(path: Path) -> Iterator[loop.LoopDevice]:
    """A loop device on ``path``, detached again at the end."""
    device = loop.attach(path)
    try:
        yield device
    finally:
        device.detach(20.0)


@contextlib.contextmanager
def _bare_loop(directory: Path, size: int) -> Iterator[Running]:
    create_sparse(directory / "store.img", size)
    with attached(directory / "store.img") as device:
        yield Running(device.path, None)


@contextlib.contextmanager
def _passthrough(directory: Path, size: int) -> Iterator[Running]:
    store, mountpoint, log = directory / "store.img", directory / "device", directory / "passthrough.log"
    create_sparse(store, size)
    command = [sys.executable, "-m", "tests.bench.passthrough", "--until-signal"]
    try:
        with running([*command, "--store", str(store), "--mountpoint", str(mountpoint)], log) as process:
            wait_until("FUSE pass-through", lambda: "\n" in log.read_text(), 20, process, log)
            ready = json.loads(log.read_text().splitlines()[0])
            yield Running(Path(ready["device"]), process.pid)
    finally:
        for device in loop.find(mountpoint):
            device.detach()
        mount.unmount_all(mountpoint)


BARE_LOOP = Contender("loop", "bare loop device", _bare_loop)
PASSTHROUGH = Contender("passthrough", "FUSE pass-through, no replication", _passthrough)
