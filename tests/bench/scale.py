"""What one call in the loop costs, against the size of the mirror (R13): `make bench-scale` writes the table.

Only the core is measured, on bitmaps in memory: a mirror of 64 TiB needs 128 MiB for each target and no disk.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dkrepl.config.description import Description, parse
from dkrepl.core.intent.activity_log import ActivityLog
from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.intent.peer_bitmaps import PeerBitmaps
from dkrepl.core.source.heartbeat import alive
from dkrepl.core.source.lag import LagClock
from dkrepl.core.source.member import Member
from dkrepl.core.source.resync_order import ResyncOrder
from dkrepl.core.source.resync_state import Resync
from dkrepl.core.source.stream import Stream
from dkrepl.core.source.target_settings import TargetSettings
from dkrepl.core.source.target_view import TargetView

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "performance.md"
BEGIN, END = "<!-- made by make bench-scale -->\n", "<!-- end of what make bench-scale made -->\n"
SIZES = (("1 TiB", "64 KiB"), ("16 TiB", "64 KiB"), ("64 TiB", "64 KiB"), ("1 TiB", "4 KiB"))
LIMIT = 10.0  # milliseconds, of a call in the loop
ROUNDS = 200
_TEXT = """name = "r0"\nsize = "{0}"\nsource = "a"\nblock = "{1}"\nextent = "{2}"\nsecurity = "none"
[[node]]\nname = "a"\naddress = "10.0.0.1"\nstore = "/s/a"\n[[node]]\nname = "b"\naddress = "10.0.0.2"\nstore = "/s/b"
"""


class Mirror:
    """The state of a source with one target, and of a target with a bitmap for another."""

    def __init__(self, size: str, block: str, extent: str = "4MiB") -> None:
        self.description = describe(size, block, extent)
        self.per = self.description.extent // self.description.block
        self.shift = self.description.block.bit_length() - 1
        self.bitmap = self.fresh()
        self.log = ActivityLog(self.bitmap.extents, range(self.bitmap.extents), 1)
        self.log.active = _Always()
        peer = self.description.node("b")
        settings = TargetSettings.of(self.description, peer, 0, self.bitmap)
        self.view = TargetView(settings)
        self.stream = Stream([settings], self.shift, 1)
        self.resync_order = ResyncOrder(self.description, self.stream, self.log, {"b": self.view})

    def fresh(self) -> IntentBitmap:
        """Return a bitmap of the mirror's size, all clean."""
        blocks = self.description.blocks
        bits, seals = IntentBitmap.bits_bytes(blocks, self.per), IntentBitmap.seals_bytes(blocks, self.per)
        bitmap = IntentBitmap(bytearray(bits), bytearray(seals), blocks, self.per)
        bitmap.fill(0)
        return bitmap

    def enter(self) -> Resync:
        """Put the target into the stream, with a resync of what its bitmap names."""
        if self.view.member is not None:
            self.view.machine.fire("evicted")
            self.stream.leave(self.view.member)
        self.view.machine.fire("hello accepted")
        self.view.machine.fire("entered")
        self.view.member = self.stream.enter(self.view.settings, 1, 0.0)
        resync = Resync(self.bitmap, self.description.block, 0.0)
        self.stream.copying(self.view.member, resync)
        return resync

    def in_sync(self) -> None:
        """The resync of ``enter`` has ended."""
        self.view.machine.fire("copied")
        self.stream.copying(self.member, None)

    @property
    def member(self) -> Member:
        """The target in the stream."""
        assert self.view.member is not None
        return self.view.member

    def write(self, block: int, blocks: int) -> None:
        """One write of the application."""
        self.stream.intend(block << self.shift, blocks << self.shift, blocks << self.shift)

    def confirm(self) -> None:
        """The target confirms everything."""
        self.member.advance(self.stream.log.seq, self.stream.log.seq, self.stream.log, 0.0)
        self.stream.log.trim(self.stream.confirmed)


class _Always(dict[int, int]):
    """Every extent is active: which are is bounded, and not what is measured here."""

    def __contains__(self, key: object) -> bool:
        return True


def describe(size: str, block: str, extent: str = "4MiB") -> Description:
    """Return the description of a mirror of two nodes."""
    return parse(_TEXT.format(size.replace(" ", ""), block.replace(" ", ""), extent), "r0", {})


def worst(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the milliseconds of the longest of some calls, the longest two of a hundred left out (the machine's)."""
    took = []
    for _ in range(rounds):
        begun = time.thread_time()
        call()
        took.append(time.thread_time() - begun)
    return sorted(took)[-1 - rounds // 50] * 1e3


def measured(size: str, block: str) -> Iterator[tuple[str, float]]:
    """Yield what is called and the milliseconds that it takes at the most."""
    mirror = Mirror(size, block)
    bitmap, view, stream, blocks = mirror.bitmap, mirror.view, mirror.stream, mirror.bitmap.blocks
    mirror.enter()
    mirror.in_sync()
    places = iter(range(0, 1 << 40, 7919))
    yield "intent of a write", worst(lambda: mirror.write(next(places) % blocks, 1))
    mirror.confirm()

    def one() -> None:
        mirror.write(next(places) % blocks, 1)
        mirror.confirm()

    yield "confirmation of a small write", worst(one)
    for _ in range(256):
        mirror.write(next(places) * 256 % (blocks - 256), 256)
    begun = time.thread_time()
    mirror.confirm()
    yield "confirmation of 256 writes of 256 blocks", (time.thread_time() - begun) * 1e3

    bitmap.begin_fill(1)
    steps = []
    while bitmap.filling:
        steps.append(worst(bitmap.fill_step, 1))
    yield "a step of marking every block", sorted(steps)[-1 - len(steps) // 50]
    yield "entering a full resync", worst(mirror.enter, 20)
    for name, at in (("begin", 0), ("middle", blocks // 2), ("end", blocks - (1 << 14))):
        resync = mirror.enter()
        resync.sent(0, at, data_bytes=0, position=0)
        resync.confirmed(resync.rseq)

        def message(resync: Resync = resync) -> None:
            mirror.write(next(places) % blocks, 1)  # the application goes on
            found = mirror.resync_order.next(0.0)
            if found is not None:
                mirror.resync_order.sent(mirror.member, found[1], min(found[2], found[1] + 4), data_bytes=0)
                mirror.member.advance_resync(resync.rseq, stream.log)
                mirror.confirm()

        yield f"next message of a resync, {name}", worst(message)
    lag = LagClock()

    def busy_beat() -> None:
        for _ in range(100):
            mirror.write(next(places) % blocks, 1)
        mirror.confirm()
        begun = time.thread_time()
        alive(view, 1, mirror.description, stream.log, lag, wall=0.0, now=0.0, stalled=0.0)
        beats.append(time.thread_time() - begun)

    beats: list[float] = []
    worst(busy_beat)
    yield "heartbeat, status, hello after 100 writes", sorted(beats)[-5] * 1e3

    full = mirror.fresh()
    full.fill(1)
    marks = PeerBitmaps({"a": mirror.fresh(), "c": full}, mirror.shift)
    marks.enter("a", ["c"])
    begun = time.thread_time()
    full.begin_fill(0)
    full.fill_step()
    marks.in_sync(0)
    yield "SYNCED, a step", (time.thread_time() - begun) * 1e3
    seqs = iter(range(1, 1 << 30))
    tells: list[float] = []
    for _ in range(100):
        seq = next(seqs)
        for _ in range(200):
            marks.mark(next(places) % blocks << mirror.shift, 4096)
        begun = time.thread_time()
        marks.update({"c": seq - 1}, seq)
        tells.append(time.thread_time() - begun)
    yield "marks, told how far another is", sorted(tells)[-3] * 1e3

    memory = bytearray(full.bits.tobytes()), bytearray(IntentBitmap.seals_bytes(blocks, mirror.per))
    begun = time.thread_time()
    opened = IntentBitmap(*memory, blocks, mirror.per)
    opened.seal_all()
    opened.damaged(())
    yield "opening: not in the loop", (time.thread_time() - begun) * 1e3


def table() -> str:
    """Measure, and return the table in Markdown; what is above the limit stands out."""
    results = [dict(measured(*size)) for size in SIZES]
    lines = [
        "| longest call, ms | " + " | ".join(f"{size} in {block}" for size, block in SIZES) + " |",
        "|---" * (len(SIZES) + 1) + "|",
    ]
    for name in results[0]:
        cells = [f"{result[name]:.2f}" for result in results]
        slow = "not in the loop" not in name
        cells = [f"**{cell}**" if slow and float(cell) > LIMIT else cell for cell in cells]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Print the table, and put it into the document."""
    made = table()
    print(made)
    text = DOCUMENT.read_text()
    if BEGIN in text:
        before, _, rest = text.partition(BEGIN)
        DOCUMENT.write_text(before + BEGIN + made + END + rest.partition(END)[2])
    return 0


if __name__ == "__main__":
    sys.exit(main())
