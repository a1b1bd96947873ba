"""qemu-storage-daemon's quorum driver: the same job, done synchronously by a C program.

The local file and one NBD child a remote, each served by a qemu-storage-daemon of its own over a unix socket;
every child must take every write. Behind FUSE and a loop device with direct I/O, as dkrepl's device is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from dkrepl.io.store.sparse_file import create_sparse
from tests.bench.contender import Contender, Running
from tests.bench.processes import running, wait_until
from tests.bench.yardsticks import attached

_QSD = "qemu-storage-daemon"
#: Reads are answered from the local copy, as dkrepl does. Put to the vote they would fail sooner or later: the
#: children differ after two overlapping writes in flight, which nothing orders.
_READS = "read-pattern=fifo"


@contextlib.contextmanager
def _remote(directory: Path, number: int, size: int) -> Iterator[Path]:
    image, socket = directory / f"remote{number}.img", directory / f"remote{number}.sock"
    log = directory / f"remote{number}.log"
    create_sparse(image, size)
    command = [
        _QSD,
        *("--blockdev", f"driver=file,node-name=store,filename={image}"),
        *("--nbd-server", f"addr.type=unix,addr.path={socket}"),
        *("--export", "type=nbd,id=export,node-name=store,writable=on,name=copy"),
    ]
    with running(command, log) as process:
        wait_until("the NBD server", socket.exists, 20, process, log)
        yield socket


def _quorum(remotes: int) -> Callable[[Path, int], AbstractContextManager[Running]]:
    @contextlib.contextmanager
    def start(directory: Path, size: int) -> Iterator[Running]:
        image, mountpoint, log = directory / "local.img", directory / "device", directory / "quorum.log"
        create_sparse(image, size)
        mountpoint.touch()
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(_remote(directory, number, size)) for number in range(remotes)]
            children, nodes = ["children.0=local"], []
            for number, socket in enumerate(sockets, 1):
                node = f"driver=nbd,node-name=remote{number},export=copy"
                nodes += ["--blockdev", f"{node},server.type=unix,server.path={socket}"]
                children.append(f"children.{number}=remote{number}")
            command = [
                _QSD,
                *("--blockdev", f"driver=file,node-name=local,filename={image}"),
                *nodes,
                "--blockdev",
                f"driver=quorum,node-name=mirror,vote-threshold={remotes + 1},{_READS},{','.join(children)}",
                *("--export", f"type=fuse,id=export,node-name=mirror,mountpoint={mountpoint},writable=on"),
            ]
            process = stack.enter_context(running(command, log))
            wait_until("the quorum", lambda: mountpoint.stat().st_size == size, 20, process, log)
            device = stack.enter_context(attached(mountpoint))
            yield Running(device.path, process.pid)

    return start


QUORUM = tuple(Contender(f"quorum{n}", f"qemu quorum, {n} remote{'s' if n > 1 else ''}", _quorum(n)) for n in (1, 2))
