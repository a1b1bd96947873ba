"""The files of a simulated machine, in the shape in which the daemon uses the real ones.

Each operation asks the process first (``Process.io``): it may be killed there, before or after the change, and in
a worker thread other events may come in between.
"""

from __future__ import annotations

import errno
import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from dkrepl.core.intent import activity_record
from dkrepl.core.lineage import metadata
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.errors import MetadataError
from dkrepl.io.state import bitmap_file
from dkrepl.io.store.calls import StoreCalls
from dkrepl.io.store.store import StoreFailed
from tests.simulation.disk import SECTOR, BitmapImage, Image
from tests.simulation.settings import BLOCK
from tests.simulation.truth import block_of

if TYPE_CHECKING:
    from tests.simulation.process import Process


class Folder:
    """A path in the state directory of a process's machine."""

    def __init__(self, process: Process, name: str = "") -> None:
        self.process = process
        self.name = name

    def __truediv__(self, name: str) -> Folder:
        return Folder(self.process, name)

    def __str__(self) -> str:
        return self.name

    def exists(self) -> bool:
        return True

    def mkdir(self, mode: int = 0) -> None:
        return


class Paths:
    """Where a process finds its state."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def state_dir(self, mirror: str) -> Folder:
        return Folder(self._process)

    def bits_memory(self, mirror: str) -> Folder:
        return Folder(self._process)


class Store:
    """A backing store."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._image = process.machine.disk.store
        self.size = len(self._image.cache)
        self.path = "store"
        self.calls = StoreCalls()
        self._failed = False

    def read(self, offset: int, length: int) -> bytes:
        self._process.io("store read")
        self._fail_if("read", offset, length)
        return bytes(self._image.cache[offset : offset + length])

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        if self._process.world.chance(self._process.machine.cold):
            return None
        self._fail_if("read", offset, length)
        return bytes(self._image.cache[offset : offset + length])

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self._process.io("store write")
        self._fail_if("write", offset, len(data), data)
        self._fail_if_full(offset, data)
        self._image.write(offset, data)
        self._process.io("store written")

    def discard(self, offset: int, length: int) -> None:
        middle = length // 2 // SECTOR * SECTOR  # other events come in between
        if middle:
            self.write(offset, bytes(middle))
        self.write(offset + middle, bytes(length - middle))

    def zero(self, offset: int, length: int) -> None:
        self.discard(offset, length)

    def sync(self) -> None:
        begun = self._image.unsynced()
        self._process.io("store sync")
        if self._failed or self._process.fails("sync"):
            self._failed = True
            self._image.fail_sync(self._process.world.rng)
            self._process.cluster.store_went_back(self._process)
            raise StoreFailed("cannot flush the simulated store", self._process.machine.errno)
        for unit in begun:
            self._image.clean(unit)
        self._process.io("store synced")

    def data_ranges(self, offset: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        end = self.size if end is None else end
        self._fail_if("read", offset, end - offset)
        cache, zeros = self._image.cache, bytes(SECTOR)
        start = None
        for at in range(offset, end, SECTOR):
            empty = cache[at : at + SECTOR] == zeros
            if not empty and start is None:
                start = at
            if empty and start is not None:
                yield start, at - start
                start = None
        if start is not None:
            yield start, end - start

    def begin(self) -> None:
        self._failed = False

    def close(self) -> None:
        return

    def _fail_if(self, verb: str, offset: int, length: int, data: bytes | bytearray | memoryview = b"") -> None:
        if not self._process.fails(verb):
            return
        world = self._process.world
        for at in range(0, len(data), SECTOR):  # what a failed write leaves is anybody's guess
            if world.chance(0.5):
                self._image.write(offset + at, data[at : at + SECTOR])
        world.note(self._process.name, f"store {verb} of {length} at {offset} fails")
        raise StoreFailed(f"cannot {verb} the simulated store", self._process.machine.errno)

    def _fail_if_full(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """A sparse file on a full file system: what has space can be written over, and no hole can be filled."""
        if "store" not in self._process.machine.full or not any(data):
            return
        for at in range(0, len(data), SECTOR):
            if not any(self._image.cache[offset + at : offset + at + SECTOR]):
                if at:
                    self._image.write(offset, data[:at])
                raise StoreFailed("no space for the simulated store", errno.ENOSPC)


def no_space(process: Process, what: str) -> None:
    """A new file on a full file system. Raises ``MetadataError``."""
    if "state" in process.machine.full:
        process.world.count("no space for a record")
        raise MetadataError(f"no space for the simulated {what}")


_owners = itertools.count(1)
_AT_ONCE = 4  # units that reach the disk together; each step of a commit takes simulated time


class BitmapFile(bitmap_file.BitmapFile):
    """The bitmap file as it ships, on a simulated file and simulated memory."""

    HEAD = 0
    ALIGN = SECTOR
    path: Folder  # type: ignore[assignment]

    def _open(self, header: bytes, length: int, target: str) -> None:
        process = self._process = self.path.process
        bitmaps = process.machine.disk.bitmaps
        self._target = target
        self.created = target not in bitmaps
        if self.created:
            process.io("bitmap create")
            no_space(process, "bitmap")
            bitmaps[target] = BitmapImage(self._seals_at, length - self._seals_at)
        self._image = bitmaps[target]

    def _write(self, view: memoryview, at: int, end: int) -> None:
        process, image = self._process, self._image
        part, base = (image.bits, 0) if at < self._seals_at else (image.seals, self._seals_at)
        end = min(end, len(view))
        middle = (at + end) // 2
        if process.fails("bitmap"):
            end = middle  # a write may end in the middle
        for first, last in ((at, middle), (middle, end)):
            if process.world.chance(0.15):  # not each time: a step takes simulated time, and there are many pieces
                process.io("bitmap write")
            if last > first:
                part.write(first - base, view[first:last])
        if end == middle:
            raise OSError(errno.ENOSPC, "no space for the simulated bitmap")

    def _flush(self) -> None:
        process = self._process
        for part in (self._image.bits, self._image.seals):
            units = part.unsynced()
            for at in range(0, len(units), _AT_ONCE):
                process.io("bitmap sync")
                if process.fails("bitmap"):
                    part.dirty.clear()  # the kernel keeps what it failed to write, and takes it for written
                    raise OSError(errno.EIO, "cannot flush the simulated bitmap")
                for unit in units[at : at + _AT_ONCE]:
                    part.clean(unit)

    def _record_owner(self, owner: bytes) -> None:
        process, image = self._process, self._image
        process.io("owner write")
        image.owner = owner
        process.io("owner written")
        if process.fails("bitmap"):
            raise MetadataError("cannot flush the simulated bitmap")
        image.owner_durable = owner
        self._recorded = owner

    def _read_owner(self) -> bytes:
        return self._image.owner

    def _read_into(self, view: memoryview, offset: int) -> None:
        view[: self._seals_at] = self._image.bits.cache
        view[self._seals_at :] = self._image.seals.cache

    def _close(self) -> None:
        return

    def _new_owner(self) -> bytes:
        return b"%032d" % next(_owners)

    def _reopen(self, label: bytes, length: int) -> memoryview | None:
        kept = self._process.machine.disk.memory.get(self._target)
        return memoryview(kept[1]) if kept is not None and kept[0] == label else None

    def _fresh(self, label: bytes, length: int) -> tuple[memoryview, str]:
        self._process.io("memory made")
        memory = bytearray(length)
        self._process.machine.disk.memory[self._target] = (label, memory)
        return memoryview(memory), ""

    def _forget(self) -> None:
        self._process.io("memory removed")
        self._process.machine.disk.memory.pop(self._target, None)


class ActivityFile:
    """The activity log."""

    def __init__(self, path: Folder) -> None:
        self.path = path
        self.damage = ""
        process = self._process = path.process
        disk = process.machine.disk
        self.created = disk.active is None
        content = activity_record.empty_file() if disk.active is None else bytes(disk.active.cache)
        try:
            self.record = activity_record.parse(content)
        except MetadataError as error:
            self.damage = str(error)
            self.record = activity_record.parse(activity_record.empty_file())

    def open(self) -> None:
        process = self._process
        disk = process.machine.disk
        if self.created or self.damage:
            process.io("active create")
            no_space(process, "active")
            disk.active = Image(0, activity_record.SECTOR, activity_record.empty_file())
        assert disk.active is not None
        self._image = disk.active
        for unit in self._image.unsynced():
            process.io("active sync")
            self._image.clean(unit)

    def write(self, serial: int, extents: Iterable[int]) -> None:
        process = self._process
        offset, content = activity_record.pack(serial, tuple(extents))
        process.io("active write")
        if process.fails("active") and process.world.chance(0.3):
            raise MetadataError("cannot write the simulated record")
        self._image.write(offset, content)
        process.io("active written")
        if process.fails("active"):
            self._image.write_back(process.world.rng)
            raise MetadataError("cannot flush the simulated record")
        for unit in self._image.unsynced():
            self._image.clean(unit)
        process.io("active synced")

    def close(self) -> None:
        return


class MetadataFile:
    """Stands for the module ``metadata_file``."""

    @staticmethod
    def settle(process: Process) -> None:
        process.io("metadata sync")
        if process.fails("metadata"):
            raise MetadataError("cannot flush the simulated metadata")
        process.machine.disk.record_durable = process.machine.disk.record

    @staticmethod
    def write(folder: Folder, record: NodeMetadata) -> None:
        process = folder.process
        disk = process.machine.disk
        content = metadata.pack(record)
        process.io("metadata write")
        no_space(process, "metadata")
        if process.fails("metadata") and process.world.chance(0.5):
            raise MetadataError("cannot write the simulated metadata")
        disk.record = content
        process.io("metadata renamed")
        if process.fails("metadata"):
            raise MetadataError("cannot flush the simulated directory")
        disk.record_durable = content
        process.io("metadata synced")


class Saved:
    """Blocks that were copied aside."""

    name = "kept"
    settled = True

    def __init__(self, length: int) -> None:
        self.length = length

    def shown(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "at": 0.0,
            "generation": "",
            "replaced_by": "",
            "bytes": self.length,
            "settled": self.settled,
        }


def save_diverged(
    folder: Folder, store: Store, mirror: str, size: int, generation: str, peer: str, runs: list[tuple[int, int]]
) -> Saved:
    """Stands for ``diverged_copy.save``."""
    process = folder.process
    blocks: dict[int, bytes] = {}
    for offset, length in runs:
        for at in range(offset, min(offset + length, size), BLOCK):
            blocks[at // BLOCK] = block_of(process.machine.disk.store.cache, at // BLOCK)
    process.io("diverged write")
    no_space(process, "blocks that are saved aside")
    if process.fails("metadata"):
        raise MetadataError("cannot keep simulated blocks aside")
    process.machine.kept[peer] = blocks
    process.world.count("blocks saved aside", len(blocks))
    return Saved(sum(map(len, blocks.values())))
