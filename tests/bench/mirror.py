"""A whole dkrepl mirror on 127.0.0.1: one daemon for the source and one for each target."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from dkrepl.io.block import loop
from dkrepl.io.fuse import mount
from tests.bench.contender import Contender, Running
from tests.bench.processes import check, running, wait_until

_MIRROR = "bench"
_DKREPL = [sys.executable, "-m", "dkrepl.cli.main"]
_READY_SECONDS = 60.0


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def _describe(directory: Path, size: int, modes: list[str], security: str) -> None:
    """Write the description file: node n0 the source, n1.. the targets in ``modes``."""
    lines = [f'name = "{_MIRROR}"', f"size = {size}", 'source = "n0"', f'security = "{security}"']
    ports = _free_ports(2 * (len(modes) + 1))
    for number, mode in enumerate(["sync", *modes]):
        lines += [
            "[[node]]",
            f'name = "n{number}"',
            'address = "127.0.0.1"',
            f'store = "{directory}/n{number}/store.img"',
            f'mode = "{mode}"',
            f"control_port = {ports[2 * number]}",
            f"data_port = {ports[2 * number + 1]}",
        ]
    (directory / "etc").mkdir()
    (directory / "etc" / f"{_MIRROR}.toml").write_text("\n".join(lines) + "\n")


def _environ(directory: Path, node: str) -> dict[str, str]:
    here = directory / node
    here.mkdir(exist_ok=True)
    paths = {"ETC": directory / "etc", "STATE": here / "state", "RUN": here / "run", "DEV": here / "dev"}
    return {**os.environ, **{f"DKREPL_{name}": str(path) for name, path in paths.items()}}


@contextlib.contextmanager
def mirror(directory: Path, size: int, modes: list[str]) -> Iterator[Running]:
    """A mirror of ``size`` bytes with one target for each of ``modes`` ("sync" or "async"), all in sync."""
    _describe(directory, size, modes, "none")  # as all that it is compared with
    nodes = [f"n{number}" for number in range(len(modes) + 1)]
    source = _environ(directory, "n0")
    mountpoint = directory / "n0" / "run" / f"{_MIRROR}.device"
    for node in nodes:
        check([*_DKREPL, "init", _MIRROR, "--node", node], _environ(directory, node))
    try:
        with contextlib.ExitStack() as stack:
            processes = []
            for node in reversed(nodes):  # the targets first: they wait for the source
                command = [*_DKREPL, "run", _MIRROR, "--node", node]
                log = directory / f"{node}.log"
                processes.append(stack.enter_context(running(command, log, _environ(directory, node))))
            link = directory / "n0" / "dev" / _MIRROR
            wait_until("the source's device", link.exists, _READY_SECONDS, processes[-1], directory / "n0.log")

            def settle() -> None:
                wait = [*_DKREPL, "wait", "insync", _MIRROR, "--timeout", "60s"]
                check(wait, source, timeout=90)

            settle()
            yield Running(link, processes[-1].pid, settle)
    finally:
        for device in loop.find(mountpoint):
            device.detach()
        mount.unmount_all(mountpoint)
        keep = os.environ.get("DKREPL_BENCH_LOGS")
        if keep:
            for log in directory.glob("n*.log"):
                shutil.copy(log, keep)


def status(directory: Path) -> dict[str, object]:
    """Return what `dkrepl status` says on the source."""
    out = check([*_DKREPL, "status", _MIRROR, "--json"], _environ(directory, "n0"))
    answer: dict[str, object] = json.loads(out)
    return answer


def _contender(mode: str, targets: int) -> Contender:
    def start(directory: Path, size: int) -> AbstractContextManager[Running]:
        return mirror(directory, size, [mode] * targets)

    return Contender(f"{mode}{targets}", f"dkrepl {mode}, {targets} target{'s' if targets > 1 else ''}", start)


ASYNC = tuple(_contender("async", targets) for targets in (1, 2, 3))
SYNC = tuple(_contender("sync", targets) for targets in (1, 2))
