"""The data path of a source: each request of the device, from its arrival to its answer.

    write   admit (intent, R1) -> intend -> local store -> publish -> answer, or wait until confirmed (R4, R5)
    read    from the store; in a worker thread if the block is not in memory
    flush   a record in the stream and a flush of the store; answered when both are durable where they must be
    discard, write-zeroes   as themselves, piece by piece, in a worker: ``emptying``

An answer that need not wait is given before the publishing of the same round: its intent is recorded, so nothing
depends on the order of these two, and the application runs on while the round is published.
"""

from __future__ import annotations

from collections import deque

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.frames import pack_record
from dkrepl.core.source.source import Source
from dkrepl.daemon.outside import Clock, Report, Workers
from dkrepl.daemon.source.publisher import Publisher
from dkrepl.daemon.source.zeroing import Emptying
from dkrepl.daemon.storage import DeviceSession, Store
from dkrepl.errors import DkreplError
from dkrepl.io.fuse import READ, SYNC, WRITE, Request
from dkrepl.io.store.store import StoreFailed

_EIO = 5


class Counters:
    """What the device has been asked since the start."""

    __slots__ = ("discards", "flushes", "read_bytes", "reads", "writes", "written_bytes")

    def __init__(self) -> None:
        self.reads = self.read_bytes = self.writes = self.written_bytes = self.flushes = self.discards = 0


class Requests:
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
        self._most_bytes = limits.unanswered_bytes
        self._now = clock.monotonic
        self._session = session
        self._store = store
        self._calls = store.calls
        self._source = source
        self._stream = source.stream
        self._publisher = publisher
        self._workers = workers
        self._report = report
        self._waiting: deque[Request] = deque()
        self._empties: deque[Request] = deque()  # the first may have a piece under way
        self._emptying = Emptying(store, source, workers, self._emptied, clock, limits=limits)
        self._unanswered = 0
        self._flushing = False
        self._flush_wanted = 0
        self._reading = 0
        self.counters = Counters()
        self.store_error: str | None = None
        self.closed = False  # take no more requests, ever
        self._doomed: list[tuple[int, int]] = []  # failed flushes with errno: answered once recorded
        self.last = False  # begin no further piece of a discard: what is left of it fails
        self.attached = False  # until then the kernel's loop driver asks, and holds locks that others wait for

    @property
    def full(self) -> bool:
        """Whether so much waits for its answer that no further request is taken."""
        return self.closed or self._unanswered >= self._most_bytes

    @property
    def idle(self) -> bool:
        """Whether nothing waits."""
        waiting = self._waiting or self._stream.waiting or self._empties or self._doomed
        return not (waiting or self._flushing or self._reading)

    @property
    def emptying(self) -> bool:
        """Whether a piece of a discard or write-zeroes is under way."""
        return self._stream.under_way is not None

    def drain(self) -> None:
        """Take the requests that have arrived, publish their writes, and answer what may be answered."""
        receive, admit, write = self._session.receive, self._source.admit, self._write
        stream = self._stream
        for _ in range(self._a_round):
            request = receive()
            if request is None:
                break
            if request.op == WRITE:
                offset, length = request.offset, request.length
                if (stream.under_way is None or not stream.changing(offset, length)) and admit(offset, length):
                    write(request)
                else:
                    self._wait(request)
            elif request.op == READ:
                self._read(request)
            elif request.op == SYNC:
                self._sync(request)
            else:
                self._empty(request)
            if self._unanswered >= self._most_bytes:
                break
        self.finish_round()

    def finish_round(self) -> None:
        """Answer what may be answered, publish what was collected, then see whose window is full."""
        self.answer()
        self._publisher.flush()
        self._source.drop_overfull(self._now())

    def answer(self) -> None:
        """Answer every write and flush that no longer waits for anything."""
        session = self._session
        if self._doomed and not self._source.store_verdict.pending:
            doomed, self._doomed = self._doomed, []
            for unique, code in doomed:
                session.reply_error(unique, code)
        for unique, length in self._stream.release():
            if length >= 0:
                self._unanswered -= length
                session.reply_written(unique, length)
            else:
                session.reply_ok(unique)

    def retry_waiting(self) -> None:
        """After a commit: do what waited for an extent to be active or for a generation."""
        waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            changing = self._stream.changing(request.offset, request.length)
            if not changing and self._source.admit(request.offset, request.length):
                self._unanswered -= request.length
                self._write(request)
            else:
                self._waiting.append(request)
        self._empty_next()
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
            self._unanswered -= request.length
            self._session.reply_error(request.unique, _EIO)
        under_way = 1 if self.emptying else 0  # that request is answered when its piece is done
        while len(self._empties) > under_way:
            self._session.reply_error(self._empties.pop().unique, _EIO)
        for unique, length in self._stream.fail_held():
            self._unanswered -= max(length, 0)
            self._session.reply_error(unique, _EIO)

    # --- one kind of request each --------------------------------------------------------------------

    def _wait(self, request: Request) -> None:
        if self._source.quorum.refusing:
            self._session.reply_error(request.unique, _EIO)
            return
        self._unanswered += request.length
        self._waiting.append(request)

    def _write(self, request: Request) -> None:
        offset, length, data = request.offset, request.length, request.data
        seq = self._stream.intend(offset, length, length)
        calls = self._calls
        began = calls.loop = self._now()
        try:
            self._store.write(offset, data)
        except StoreFailed as error:
            self._failed(seq, request, error)
            return
        finally:
            calls.loop = -began
        self._publisher.add(seq, pack_record(frames.WRITE, length, offset), data)
        self._stream.park(seq, (request.unique, length))
        self._unanswered += length
        counters = self.counters
        counters.writes += 1
        counters.written_bytes += length

    def _failed(self, seq: int, request: Request, error: StoreFailed) -> None:
        # The seq is taken: a flush goes out in its place, and the targets copy the block anew.
        self._publisher.add(seq, pack_record(frames.FLUSH, 0, 0), None)
        self._publisher.flush()
        self._source.local_error(seq, self._now())
        self._session.reply_error(request.unique, error.errno)
        self._store_trouble(error)

    def _store_trouble(self, error: DkreplError) -> None:
        if self.store_error != str(error):
            self._report("store_failed", "error", {"reason": str(error)})
        self.store_error = str(error)

    def _read(self, request: Request) -> None:
        self.counters.reads += 1
        self.counters.read_bytes += request.length
        unique, offset, length = request.unique, request.offset, request.length
        calls = self._calls
        began = calls.loop = self._now()  # waits for the disk where the file system has no RWF_NOWAIT
        try:
            data = self._store.read_nowait(offset, length)
        except StoreFailed as error:
            self._session.reply_error(unique, error.errno)
            self._store_trouble(error)
            return
        finally:
            calls.loop = -began
        if data is not None:
            self._session.reply_data(unique, data)
            return

        def done(data: bytes | None, error: DkreplError | None) -> None:
            self._reading -= 1
            if data is not None:
                self._session.reply_data(unique, data)
            else:
                self._session.reply_error(unique, getattr(error, "errno", _EIO))
                self._store_trouble(error or DkreplError("a read gave nothing"))

        self._reading += 1
        self._workers.run("read", lambda: self._store.read(offset, length), done)

    def _empty(self, request: Request) -> None:
        """Queue a discard or write-zeroes: they are done one after the other, because each takes many pieces."""
        if self._source.quorum.refusing:
            self._session.reply_error(request.unique, _EIO)
            return
        self._empties.append(request)
        self._empty_next()

    def _empty_next(self) -> None:
        """Begin the next piece of the oldest discard, if none is under way and it is admitted."""
        if self._empties and not self.emptying and not self.last:
            self._emptying.begin(self._empties[0])

    def _emptied(self, request: Request, seq: int, record: bytes, error: DkreplError | None) -> None:
        """A piece is done, and ``request`` is what is left of it; the piece has its place in the stream now."""
        if error is not None:
            self._empties.popleft()
            failed = error if isinstance(error, StoreFailed) else StoreFailed(str(error), None)
            self._failed(seq, request, failed)
        else:
            self._publisher.add(seq, record, None)
            if self._source.quorum.refusing or (self.last and request.length):
                self._empties.popleft()
                self._session.reply_error(request.unique, _EIO)
            elif not request.length:
                self._empties.popleft()
                self._stream.park(seq, (request.unique, -1))
                self.counters.discards += 1
        self.retry_waiting()

    def _sync(self, request: Request) -> None:
        quorum = self._source.quorum
        if self._source.metadata.store_failed:
            self._doomed.append((request.unique, _EIO))  # R15: one flush failed, so a later success proves nothing
            self.answer()
            return
        holding = quorum.lost or bool(self._source.awaited.names)
        if (quorum.lost and quorum.flushed) or (holding and not self.attached):
            self._flush_here(request.unique)
            return
        if quorum.refusing:
            self._session.reply_error(request.unique, _EIO)
            return
        seq = self._stream.control_record()
        self._publisher.add(seq, pack_record(frames.FLUSH, 0, 0), None)
        self._publisher.flush()
        self._stream.park_flush(seq, (request.unique, -1))
        self.counters.flushes += 1
        self._flush_wanted = seq
        if not self._flushing:
            self._flush_store()

    def _flush_here(self, unique: int) -> None:
        """With too few copies, a flush of what enough targets already hold durably flushes the local store alone.

        If it waited, the kernel's loop device would let nothing follow it, not even a read.
        """
        self._reading += 1

        def done(_: object, error: DkreplError | None) -> None:
            self._reading -= 1
            if error is None:
                self._session.reply_ok(unique)
                return
            self._flush_failed(error, [unique])

        self.counters.flushes += 1
        self._workers.run("flush", self._store.sync, done)

    def _flush_store(self) -> None:
        self._flushing = True
        seq = self._flush_wanted

        def done(_: object, error: DkreplError | None) -> None:
            self._flushing = False
            if error is None:
                self._source.store_synced(seq)
            else:
                self._flush_failed(error, [unique for unique, _ in self._stream.fail_flushes(seq)])
            if self._flush_wanted > seq:
                self._flush_store()
            self.answer()

        self._workers.run("flush", self._store.sync, done)

    def _flush_failed(self, error: DkreplError, uniques: list[int]) -> None:
        """A flush failed, so recent writes may be lost: record that first, then tell the application (R15)."""
        self._store_trouble(error)
        self._doomed += [(unique, getattr(error, "errno", _EIO)) for unique in uniques]
        self._source.local_sync_failed(str(error), self._now())
