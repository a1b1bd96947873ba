"""The device without replication: what dkrepl's FUSE session and a loop device cost by themselves.

    python -m tests.bench.passthrough --store FILE --mountpoint FILE

Prints one JSON line with the device when it is ready, serves until SIGTERM or end of standard input, then
takes everything away and prints a second line with the CPU seconds and requests it took.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import select
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from dkrepl.io.block import loop
from dkrepl.io.fuse import DISCARD, OP_NAMES, READ, SYNC, WRITE, FuseSession, Request
from dkrepl.io.store.store import BackingStore, StoreFailed

#: Requests answered before the loop looks at anything else.
DRAIN = 64


class Server:
    """Answers every request from the store, in one thread."""

    def __init__(self, session: FuseSession, store: BackingStore) -> None:
        self.session = session
        self.store = store
        self.counts: Counter[int] = Counter()
        self.stopping = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def stop(self) -> None:
        """End ``serve`` from another thread."""
        self.stopping = True
        os.write(self._wake_write, b"x")

    def serve(self) -> None:
        poll = select.poll()
        poll.register(self.session.fd, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        wait, receive, answer = poll.poll, self.session.receive, self._answer
        while not self.stopping:
            wait()
            for _ in range(DRAIN):
                request = receive()
                if request is None:
                    break
                answer(request)

    def _answer(self, request: Request) -> None:
        op = request.op
        self.counts[op] += 1
        try:
            if op == WRITE:
                self.store.write(request.offset, request.data)
                self.session.reply_written(request.unique, request.length)
            elif op == READ:
                self.session.reply_data(request.unique, self.store.read(request.offset, request.length))
            else:
                self._seldom(request)
                self.session.reply_ok(request.unique)
        except StoreFailed as error:
            self.session.reply_error(request.unique, error.errno or errno.EIO)

    def _seldom(self, request: Request) -> None:
        if request.op == SYNC:
            self.store.sync()
        elif request.op == DISCARD:
            self.store.discard(request.offset, request.length)
        else:
            self.store.zero(request.offset, request.length)


def _say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--mountpoint", type=Path, required=True)
    parser.add_argument("--until-signal", action="store_true", help="do not end with standard input")
    arguments = parser.parse_args()
    # Signals reach the main thread only, which waits for the end; the other one serves.
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    store = BackingStore(arguments.store)
    session = FuseSession.mount(arguments.mountpoint, store.size)
    server = Server(session, store)

    def serve() -> None:
        try:
            server.serve()
        finally:
            stop.set()

    thread = threading.Thread(target=serve, name="serve", daemon=True)
    thread.start()
    try:
        device = loop.attach(arguments.mountpoint)
        try:
            _say(device=str(device.path), pid=os.getpid(), size=store.size)
            standard_input = select.poll()
            if not arguments.until_signal:
                standard_input.register(sys.stdin.fileno(), select.POLLIN)
            while not stop.is_set() and not standard_input.poll(200):
                pass
        finally:
            if not thread.is_alive():
                session.close()
            freed = device.detach(timeout=20.0)
    finally:
        server.stop()
        thread.join(10.0)
        session.close()  # even if the thread has died: what waits for a reply gets an error
        store.close()
    used = time.process_time()
    _say(freed=freed, cpu_seconds=round(used, 3), **{OP_NAMES[op]: n for op, n in server.counts.items()})
    return 0 if freed else 1


if __name__ == "__main__":
    sys.exit(main())
