"""The requests of the device, each from its arrival until it completes.

    write   through the core's write path; completes at once, or when enough copies confirm it (R4, R5)
    read    from the store; in a worker thread if the block is not in memory
    flush   a record in the stream and a flush of the store; completes when both are durable where they must be
    discard, write-zeroes   one after the other, piece by piece, in a worker (``Zeroing``)

A write that need not wait completes before the same round is published: its intent is recorded, so nothing depends on
the order of these two, and the application runs on while the round is published.
"""

from __future__ import annotations

from collections import deque
from typing import assert_never

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.source.publisher import Publisher
from dkrepl.core.source.source import Source
from dkrepl.core.source.write_path import WritePath
from dkrepl.daemon.outside import Clock, Report, Workers
from dkrepl.daemon.source.zeroing import Zeroing
from dkrepl.daemon.storage import DeviceSession, Store
from dkrepl.errors import DkreplError, StoreError
from dkrepl.io.fuse import READ, SYNC, WRITE, Request

_EIO = 5
_NO_WRITE = -1  # in place of the length: a write is answered with its length, any other request without one


class Counters:
    """What the device has been asked since the start."""

    __slots__ = ("discards", "flushes", "read_bytes", "reads", "writes", "written_bytes")

    def __init__(self) -> None:
        self.reads = self.read_bytes = self.writes = self.written_bytes = self.flushes = self.discards = 0


class DeviceRequests:
    """Serves the device's requests. ``report`` reports a store's failure."""

    def __init__(
        self,
        session: DeviceSession,
        store: Store,
        source: Source,
        publisher: Publisher,
        workers: Workers,
        report: Report,
        clock: Clock,
        *,
        limits: Limits = DEFAULT,
    ) -> None:
        self._a_round = limits.requests_a_round
        self._most_bytes = limits.incomplete_bytes
        self._now = clock.monotonic
        self._session = session
        self._store = store
        self._source = source
        self._stream = source.stream
        self._publisher = publisher
        self._workers = workers
        self._report = report
        self._waiting: deque[Request] = deque()
        self._path = WritePath(source, store, publisher, clock.monotonic)
        self._discards: deque[Request] = deque()  # the first may have a piece under way
        self._zeroing = Zeroing(store, self._path, source.description, workers, self._piece_done, clock, limits=limits)
        self._incomplete = 0
        self._flushing = False
        self._flush_wanted = 0
        self._reading = 0
        self.counters = Counters()
        self.store_error: str | None = None
        self.closed = False  # take no more requests, ever
        self._doomed: list[tuple[int, int]] = []  # failed flushes with errno: they fail once that is recorded
        self.last = False  # begin no further piece of a discard: what is left of it fails
        self.attached = False  # until then the kernel's loop driver asks, and holds locks that others wait for

    @property
    def full(self) -> bool:
        """Whether so much waits to complete that no further request is taken."""
        return self.closed or self._incomplete >= self._most_bytes

    @property
    def idle(self) -> bool:
        """Whether nothing waits."""
        waiting = self._waiting or self._stream.waiting or self._discards or self._doomed
        return not (waiting or self._flushing or self._reading)

    @property
    def zeroing(self) -> bool:
        """Whether a piece of a discard or write-zeroes is under way."""
        return self._stream.under_way is not None

    def drain(self) -> None:
        """Take the requests that have arrived, publish their writes, and complete what may complete."""
        receive, write = self._session.receive, self._write
        for _ in range(self._a_round):
            request = receive()
            if request is None:
                break
            if request.op == WRITE:
                if not write(request):
                    self._wait(request)
            elif request.op == READ:
                self._read(request)
            elif request.op == SYNC:
                self._sync(request)
            else:
                self._discard(request)
            if self._incomplete >= self._most_bytes:
                break
        self.finish_round()

    def finish_round(self) -> None:
        """Complete what may complete, publish what was collected, then see whose window is full."""
        self.complete()
        self._publisher.flush()
        self._source.drop_overfull(self._now())

    def complete(self) -> None:
        """Complete every write and flush that no longer waits for anything."""
        session = self._session
        if self._doomed and not self._source.store_verdict.pending:
            doomed, self._doomed = self._doomed, []
            for unique, code in doomed:
                session.reply_error(unique, code)
        for unique, length in self._stream.release():
            if length >= 0:
                self._incomplete -= length
                session.reply_written(unique, length)
            else:
                session.reply_ok(unique)

    def retry_waiting(self) -> None:
        """After a commit: do what waited for an extent to be active or for a generation."""
        waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            if self._write(request):
                self._incomplete -= request.length
            else:
                self._waiting.append(request)
        self._zero_next()
        self.finish_round()

    def quorum_changed(self) -> None:
        """There are too few copies now, or enough again: what waits fails if it is to, or is tried again (R4)."""
        if self._source.quorum.refusing:
            self._fail_waiting()
        elif not self._source.quorum.lost:
            self.retry_waiting()

    def fail_waiting(self, why: str) -> None:
        """The intent log cannot be written: what waited for it fails (R1)."""
        self.store_error = why
        self._fail_waiting()

    def _fail_waiting(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            self._incomplete -= request.length
            self._session.reply_error(request.unique, _EIO)
        under_way = 1 if self.zeroing else 0  # that request ends when its piece is done
        while len(self._discards) > under_way:
            self._session.reply_error(self._discards.pop().unique, _EIO)
        for unique, length in self._stream.fail_held():
            self._incomplete -= max(length, 0)
            self._session.reply_error(unique, _EIO)

    # --- one kind of request each --------------------------------------------------------------------

    def _wait(self, request: Request) -> None:
        if self._source.quorum.refusing:
            self._session.reply_error(request.unique, _EIO)
            return
        self._incomplete += request.length
        self._waiting.append(request)

    def _write(self, request: Request) -> bool:
        """Whether the write is done, well or not; if not, it has to wait."""
        length = request.length
        try:
            if not self._path.write(request.offset, request.data, (request.unique, length)):
                return False
        except StoreError as error:
            self._failed(request.unique, error)
            return True
        self._incomplete += length
        counters = self.counters
        counters.writes += 1
        counters.written_bytes += length
        return True

    def _failed(self, unique: int, error: DkreplError) -> None:
        self._session.reply_error(unique, getattr(error, "errno", _EIO))
        self._store_trouble(error)

    def _store_trouble(self, error: DkreplError) -> None:
        if self.store_error != str(error):
            self._report("store_failed", "error", {"reason": str(error)})
        self.store_error = str(error)

    def _read(self, request: Request) -> None:
        self.counters.reads += 1
        self.counters.read_bytes += request.length
        unique, offset, length = request.unique, request.offset, request.length
        try:
            data = self._store.read_nowait(offset, length)
        except StoreError as error:
            self._failed(unique, error)
            return
        if data is not None:
            self._session.reply_data(unique, data)
            return

        def done(data: bytes | None, error: DkreplError | None) -> None:
            self._reading -= 1
            if data is not None:
                self._session.reply_data(unique, data)
            else:
                self._failed(unique, error or DkreplError("a read gave nothing"))

        self._reading += 1
        self._workers.run("read", lambda: self._store.read(offset, length), done)

    def _discard(self, request: Request) -> None:
        """Queue a discard or write-zeroes: they are done one after the other, because each takes many pieces."""
        if self._source.quorum.refusing:
            self._session.reply_error(request.unique, _EIO)
            return
        self._discards.append(request)
        self._zero_next()

    def _zero_next(self) -> None:
        """Begin the next piece of the oldest discard, if none is under way and it is admitted."""
        if self._discards and not self.zeroing and not self.last:
            self._zeroing.begin(self._discards[0])

    def _piece_done(self, request: Request, seq: int, error: DkreplError | None) -> None:
        """A piece is done, and ``request`` is what is left of it; the piece has its place in the stream now."""
        if error is not None:
            self._discards.popleft()
            self._failed(request.unique, error)
        elif self._source.quorum.refusing or (self.last and request.length):
            self._discards.popleft()
            self._session.reply_error(request.unique, _EIO)
        elif not request.length:
            self._discards.popleft()
            self._stream.park(seq, (request.unique, _NO_WRITE))
            self.counters.discards += 1
        self.retry_waiting()

    def _sync(self, request: Request) -> None:
        unique = request.unique
        match self._path.flush((unique, _NO_WRITE), attached=self.attached):
            case "store failed":
                self._doomed.append((unique, _EIO))
                self.complete()
            case "local only":
                self._flush_here(unique)
            case "refused":
                self._session.reply_error(unique, _EIO)
            case "parked":
                self.counters.flushes += 1
                self._flush_wanted = self._stream.log.seq
                if not self._flushing:
                    self._flush_store()
            case unknown:
                assert_never(unknown)

    def _flush_here(self, unique: int) -> None:
        self._reading += 1

        def done(_: object, error: DkreplError | None) -> None:
            self._reading -= 1
            if error is None:
                self._session.reply_ok(unique)
            else:
                self._flush_failed(error, [unique])

        self.counters.flushes += 1
        self._workers.run("flush", self._store.sync, done)

    def _flush_store(self) -> None:
        self._flushing = True
        seq = self._flush_wanted

        def done(_: object, error: DkreplError | None) -> None:
            self._flushing = False
            if error is None:
                self._stream.store_synced(seq)
            else:
                self._flush_failed(error, [unique for unique, _ in self._stream.fail_flushes(seq)])
            if self._flush_wanted > seq:
                self._flush_store()
            self.complete()

        self._workers.run("flush", self._store.sync, done)

    def _flush_failed(self, error: DkreplError, uniques: list[int]) -> None:
        """A flush failed, so recent writes may be lost: record that first, then tell the application (R15)."""
        self._store_trouble(error)
        self._doomed += [(unique, getattr(error, "errno", _EIO)) for unique in uniques]
        self._source.store_verdict.flush_failed(str(error), self._now())
