"""Comparing a target's copy with the source's, while both are in use, without a false alarm.

A DIGEST mark goes out in the stream: the target takes the checksum of the range when it comes to the mark, the source
took its own when it published it. Both are of the state after the same write, so a difference is a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from xxhash import xxh3_128_hexdigest

from dkrepl.api.answers import Range, Verification, Verified, VerifyProgress
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.frames import pack_record
from dkrepl.core.source.target_view import TargetView
from dkrepl.daemon.source.runtime import SourceRuntime
from dkrepl.errors import Refused, TimedOut

InLoop = Callable[[Callable[[], Any]], Any]


def verify(runtime: SourceRuntime, names: list[str], in_loop: InLoop) -> Iterator[tuple[str, Any]]:
    """Yield progress, then the outcome for each target. Runs in a client's thread.

    Raises ``Refused`` if a target is not in sync, ``TimedOut`` if one does not answer.
    """
    results, now = [], runtime.outside.clock.monotonic
    for name in names:
        if runtime.source.views[name].state != "InSync":
            raise Refused(f"{name} is not InSync, so its copy cannot be compared; wait for it: dkrepl wait insync")
    for name in names:
        ranges: list[Range] = []
        size, told = runtime.description.size, 0.0
        step = runtime.limits.verify_bytes
        for offset in range(0, size, step):
            length = min(step, size - offset)
            if not _equal(runtime, name, offset, length, in_loop):
                if ranges and ranges[-1].offset + ranges[-1].length == offset:
                    ranges[-1] = Range(ranges[-1].offset, ranges[-1].length + length)
                else:
                    ranges.append(Range(offset, length))
            if now() - told > runtime.limits.verify_progress_seconds:
                told = now()
                yield "progress", VerifyProgress(name, offset + length, size)
        yield "progress", VerifyProgress(name, size, size)
        results.append(Verified(name, not ranges, size, ranges))
    yield "ok", Verification(results)


def _equal(runtime: SourceRuntime, name: str, offset: int, length: int, in_loop: InLoop) -> bool:
    """Compare one range; blocks until the target has answered."""
    limits, number = runtime.limits, runtime.next_digest()
    key = (name, number)

    def ask() -> str | None:
        """The own checksum at this place of the stream; None if it cannot be had without waiting (R13)."""
        view = _check_in_sync(runtime, name)
        data = None if runtime.source.stream.changing(offset, length) else runtime.store.read_nowait(offset, length)
        if data is None:
            return None
        record = pack_record(frames.DIGEST, length, offset)
        runtime.publisher.single(frames.MARKER, view.settings, view.epoch, number, record)
        return xxh3_128_hexdigest(data)

    with runtime.digest_came:
        runtime.digests[key] = None
    now = runtime.outside.clock.monotonic
    deadline = now() + limits.verify_seconds
    try:
        while True:
            runtime.store.read(offset, length)  # into memory, here, so that the loop need not wait for the disk
            own = in_loop(ask)
            if own is not None:
                break
            if now() > deadline:
                raise TimedOut(
                    f"{length} bytes at {offset} of the source's store could not be compared within "
                    f"{limits.verify_seconds:g} s; look at its store"
                )
            with runtime.digest_came:
                runtime.digest_came.wait_for(lambda: False, limits.verify_again_seconds)
        with runtime.digest_came:
            look = limits.verify_look_seconds
            while not runtime.digest_came.wait_for(lambda: runtime.digests[key] is not None, look):
                _check_in_sync(runtime, name)
                if now() > deadline:
                    raise TimedOut(
                        f"{name} did not answer a verify within {limits.verify_seconds:g} s; look at its journal"
                    )
            return bool(runtime.digests[key] == own)
    finally:
        with runtime.digest_came:
            del runtime.digests[key]


def _check_in_sync(runtime: SourceRuntime, name: str) -> TargetView:
    view = runtime.source.views[name]
    if view.state != "InSync":
        raise Refused(f"{name} left the stream during the verify ({view.reason}); run it again when it is InSync")
    return view
