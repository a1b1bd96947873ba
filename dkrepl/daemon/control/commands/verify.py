"""``verify``: compare the copies of targets with the source's while they are in use, without a false alarm.

A DIGEST marker goes out in the stream: the target takes the checksum of the range when it comes to the marker, and the
source took its own when it published it. Both are of the state after the same write, so a difference is a difference.
"""

from __future__ import annotations

from xxhash import xxh3_128_hexdigest

from dkrepl.api.answers import Range, Verification, Verified, VerifyProgress
from dkrepl.api.requests import Verify
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.frames import pack_record
from dkrepl.core.source.target_view import TargetView
from dkrepl.daemon.control.desk import Desk
from dkrepl.daemon.control.reply import Reply, answering
from dkrepl.daemon.source.runtime import SourceRuntime
from dkrepl.errors import Refused, TimedOut


def carry_out(desk: Desk, request: Verify, reply: Reply) -> None:
    """Begin to compare; all targets must be in sync."""
    runtime = desk.source("verify")
    names = desk.targets(runtime, request.targets)
    for name in names:
        if runtime.source.views[name].state != "InSync":
            raise Refused(f"{name} is not InSync, so its copy cannot be compared; wait for it: dkrepl wait insync")
    _Comparison(desk, runtime, names, reply).next_target()


class _Comparison:
    """Compares one range after the other; of each the order is

        read      in a worker, into memory, so that the loop need not wait for the disk (R13)
        ask       in the loop: take the own checksum, publish the marker; if a write is under way there: read again
        came      the target's checksum: compare, and go on with the next range

    What goes wrong ends it, and so does a client that has gone.
    """

    def __init__(self, desk: Desk, runtime: SourceRuntime, names: list[str], reply: Reply) -> None:
        self._desk = desk
        self._runtime = runtime
        self._reply = reply
        self._now = runtime.here.outside.clock.monotonic
        self._size = runtime.here.description.size
        self._left = names
        self._results: list[Verified] = []
        self._name = ""
        self._ranges: list[Range] = []  # in which this target differs
        self._range = Range(0, 0)
        self._number = 0  # of the marker that is on its way
        self._deadline = 0.0  # for this range
        self._told = 0.0

    def next_target(self) -> None:
        """Begin with the next target, or answer if there is none left."""
        if not self._left:
            self._reply.done(Verification(self._results))
            return
        self._name, self._left = self._left[0], self._left[1:]
        self._ranges = []
        self._next_range(0)

    def _next_range(self, offset: int) -> None:
        limits = self._runtime.here.limits
        if offset >= self._size:
            self._tell(self._size)
            self._results.append(Verified(self._name, not self._ranges, self._size, self._ranges))
            self.next_target()
            return
        if self._now() - self._told > limits.verify_progress_seconds and offset:
            self._tell(offset)
        self._range = Range(offset, min(limits.verify_bytes, self._size - offset))
        self._deadline = self._now() + limits.verify_seconds
        self._read()

    def _tell(self, done: int) -> None:
        self._told = self._now()
        self._reply.progress(VerifyProgress(self._name, done, self._size))

    def _read(self) -> None:
        store, range_ = self._runtime.store, self._range
        self._desk.in_worker(self._reply, lambda: store.read(range_.offset, range_.length), lambda _: self._ask())

    def _ask(self) -> None:
        runtime, offset, length = self._runtime, self._range.offset, self._range.length
        view = self._in_sync()
        data = None if runtime.source.stream.changing(offset, length) else runtime.store.read_nowait(offset, length)
        if data is None:
            if self._now() > self._deadline:
                raise TimedOut(
                    f"{length} bytes at {offset} of the source's store could not be compared within "
                    f"{runtime.here.limits.verify_seconds:g} s; look at its store"
                )
            self._desk.later(self._reply, runtime.here.limits.verify_again_seconds, self._read)
            return
        own = xxh3_128_hexdigest(data)
        number = self._number = runtime.digests.expect(self._name, lambda there: self._came(own == there))
        record = pack_record(frames.DIGEST, length, offset)
        runtime.publisher.single(frames.MARKER, view.settings, view.epoch, number, record)
        self._look_later(number)

    def _look_later(self, number: int) -> None:
        """Now and then, see whether the answer to the marker may still come."""
        self._desk.later(self._reply, self._runtime.here.limits.verify_look_seconds, lambda: self._look(number))

    def _look(self, number: int) -> None:
        if number != self._number:
            return
        try:
            self._in_sync()
            if self._now() > self._deadline:
                seconds = self._runtime.here.limits.verify_seconds
                raise TimedOut(f"{self._name} did not answer a verify within {seconds:g} s; look at its journal")
        except (Refused, TimedOut):
            self._runtime.digests.forget(self._name, number)
            raise
        self._look_later(number)

    def _came(self, equal: bool) -> None:
        """The target's checksum has come."""
        self._number = 0
        with answering(self._reply):
            if not self._reply.open:
                return
            offset, length = self._range.offset, self._range.length
            last = self._ranges[-1] if self._ranges else Range(0, 0)
            if not equal and last.offset + last.length == offset and self._ranges:
                self._ranges[-1] = Range(last.offset, last.length + length)
            elif not equal:
                self._ranges.append(self._range)
            self._next_range(offset + length)

    def _in_sync(self) -> TargetView:
        view = self._runtime.source.views[self._name]
        if view.state != "InSync":
            raise Refused(
                f"{self._name} left the stream during the verify ({view.reason}); run it again when it is InSync"
            )
        return view
