"""What a machine keeps: each thing with a page-cache image, that a killed process leaves, and a durable one.

The kernel may write any dirty page back at any time. After a power loss each dirty sector (or page, of a memory map)
holds either what was durable or what was cached. ``sync`` promises what was written before it began.
"""

from __future__ import annotations

import random

from dkrepl.core.lineage import metadata
from dkrepl.core.lineage.metadata import NodeMetadata

SECTOR = 16  # bytes; small, so that contents are cheap


class Image:
    """Bytes with a cached and a durable state; ``unit`` bytes are written to the disk at once or not at all."""

    def __init__(self, length: int, unit: int, content: bytes = b"") -> None:
        self.unit = unit
        self.cache = bytearray(content or bytes(length))
        self.durable = bytearray(self.cache)
        self.dirty: set[int] = set()

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Change the cached state."""
        self.cache[offset : offset + len(data)] = data
        self.dirty.update(range(offset // self.unit, (offset + len(data) - 1) // self.unit + 1))

    def unsynced(self) -> list[int]:
        """The units that differ, or may."""
        return sorted(self.dirty)

    def clean(self, unit: int) -> None:
        """A unit reaches the disk as it is cached now."""
        at = unit * self.unit
        self.durable[at : at + self.unit] = self.cache[at : at + self.unit]
        self.dirty.discard(unit)

    def write_back(self, rng: random.Random) -> None:
        """The kernel writes some of what is dirty."""
        for unit in self.unsynced():
            if rng.random() < 0.3:
                self.clean(unit)

    def lose_power(self, rng: random.Random) -> None:
        """Keep what is durable, and at random what is not."""
        share = rng.choice((0.0, 0.2, 0.5, 0.8, 1.0))
        for unit in self.unsynced():
            if rng.random() < share:
                self.clean(unit)
        self.cache[:] = self.durable
        self.dirty.clear()

    def fail_sync(self, rng: random.Random) -> None:
        """Some of what is dirty is written, some is lost, and nothing is dirty any more."""
        for unit in self.unsynced():
            if rng.random() < 0.5:
                self.clean(unit)
        self.cache[:] = self.durable
        self.dirty.clear()

    def copy(self) -> Image:
        """An independent copy."""
        new = Image(0, self.unit)
        new.cache, new.durable, new.dirty = bytearray(self.cache), bytearray(self.durable), set(self.dirty)
        return new


class Rewritten(Image):
    """A file of which whole pieces are written again: a unit that is durable already does not become dirty by it."""

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        super().write(offset, data)
        cache, durable, unit = self.cache, self.durable, self.unit
        at = {n: n * unit for n in self.dirty}
        self.dirty = {n for n, first in at.items() if cache[first : first + unit] != durable[first : first + unit]}

    def copy(self) -> Rewritten:
        new = Rewritten(0, self.unit)
        new.cache, new.durable, new.dirty = bytearray(self.cache), bytearray(self.durable), set(self.dirty)
        return new


class BitmapImage:
    """A bitmap file: bits, seals, and which memory has the bits as they are now."""

    def __init__(self, bits: int, seals: int) -> None:
        self.bits = Rewritten(bits, 4)
        self.seals = Rewritten(seals, 16)
        self.owner = self.owner_durable = bytes(32)

    def copy(self) -> BitmapImage:
        new = BitmapImage(0, 0)
        new.bits, new.seals = self.bits.copy(), self.seals.copy()
        new.owner, new.owner_durable = self.owner, self.owner_durable
        return new


class Disk:
    """Everything that a machine keeps of a mirror."""

    def __init__(self, size: int, record: NodeMetadata) -> None:
        self.store = Image(size, SECTOR)
        self.record = metadata.pack(record)  # as a process reads it
        self.record_durable = self.record
        self.active: Image | None = None
        self.bitmaps: dict[str, BitmapImage] = {}
        self.memory: dict[str, tuple[bytes, bytearray]] = {}  # of the bitmaps: its label, and bits and seals
        self.spoiled = False  # its intent log was damaged, and nobody has opened it since
        self.boot = "boot-0"
        self._boots = 0
        self._parsed: tuple[bytes, NodeMetadata] | None = None

    def metadata(self) -> NodeMetadata:
        """The record as a process would read it now."""
        return self._parse(self.record)

    def durable_metadata(self) -> NodeMetadata:
        """The record as it would be after a power loss."""
        return self._parse(self.record_durable)

    def bits(self, peer: str) -> tuple[bytes, bool]:
        """The bits for ``peer`` as a process would find them now, and whether it would take them for exact."""
        image = self.bitmaps[peer]
        label, memory = self.memory.get(peer, (b"", bytearray()))
        same_boot = self.metadata().boot == self.boot
        if same_boot and any(image.owner) and label.endswith(image.owner):
            return bytes(memory[: len(image.bits.cache)]), True
        return bytes(image.bits.cache), same_boot and image.owner.startswith(b"saved")

    def images(self) -> list[Image]:
        """All images."""
        found: list[Image] = [self.store]
        if self.active is not None:
            found.append(self.active)
        for name in sorted(self.bitmaps):
            found += (self.bitmaps[name].bits, self.bitmaps[name].seals)
        return found

    def write_back(self, rng: random.Random) -> None:
        """The kernel writes some dirty pages of everything."""
        for image in self.images():
            image.write_back(rng)

    def lose_power(self, rng: random.Random) -> None:
        """What a power cut leaves; the next start is another boot."""
        for image in self.images():
            image.lose_power(rng)
        self.memory.clear()
        for bitmap in self.bitmaps.values():
            bitmap.owner = bitmap.owner_durable = rng.choice((bitmap.owner, bitmap.owner_durable))
        if rng.random() < 0.5:
            self.record_durable = self.record  # the rename had reached the disk
        self.record = self.record_durable
        self._boots += 1
        self.boot = f"boot-{self._boots}"

    def copy(self) -> Disk:
        """An independent copy, to ask what would be after a power loss now."""
        new = Disk.__new__(Disk)
        new.store = self.store.copy()
        new.record, new.record_durable = self.record, self.record_durable
        new.active = None if self.active is None else self.active.copy()
        new.bitmaps = {name: image.copy() for name, image in self.bitmaps.items()}
        new.memory = {name: (label, bytearray(memory)) for name, (label, memory) in self.memory.items()}
        new.boot, new._boots, new._parsed = self.boot, self._boots + 1000, None
        return new

    def _parse(self, content: bytes) -> NodeMetadata:
        if self._parsed is None or self._parsed[0] != content:
            self._parsed = (content, metadata.parse(content, "the simulated record"))
        return self._parsed[1]
