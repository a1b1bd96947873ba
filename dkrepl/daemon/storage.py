"""What lies on a node's disks, and the device that is made of it, as protocols: the store, the state, the device.

``dkrepl/io`` has the real ones. Errors are ``StoreError`` of the store, ``MetadataError`` of the state directory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Protocol

from dkrepl.config.limits import Limits
from dkrepl.core.intent.activity_record import ActivityRecord
from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.errors import DkreplError
from dkrepl.io.block.loop import LoopDevice
from dkrepl.io.fuse import Request
from dkrepl.io.store.calls import StoreCalls
from dkrepl.io.store.diverged import Saved

Data = bytes | bytearray | memoryview


class Store(Protocol):
    """The backing store. Offsets and lengths are bytes."""

    @property
    def path(self) -> object:
        """Where it is."""

    @property
    def size(self) -> int:
        """Its size."""

    @property
    def calls(self) -> StoreCalls:
        """What is under way."""

    def begin(self) -> None:
        """A role begins with this store: flushes are tried again."""

    def read(self, offset: int, length: int) -> bytes:
        """Read; may wait for the disk."""

    def read_nowait(self, offset: int, length: int) -> bytes | bytearray | None:
        """Read what is in memory; None: it is not, so ``read`` it in a worker."""

    def write(self, offset: int, data: Data) -> None:
        """Write; into memory, as a rule."""

    def discard(self, offset: int, length: int) -> None:
        """Make a range read as zeroes, and give its space back; may take long."""

    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeroes; may take long."""

    def sync(self) -> None:
        """Make durable what was written before. After a failure it fails until ``begin`` (R15)."""

    def data_ranges(self, offset: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield (offset, length) of what is not known to be zeroes."""


class BitmapFile(Protocol):
    """The bitmap for one peer, and the memory in which its bits are changed."""

    path: Any
    created: bool
    """Whether there was no file before."""
    damage: str
    """What is wrong with the file, or ""."""
    exact: bool
    """Whether the bits are as the last process left them; else they are what it had made durable."""
    not_kept: str
    """Why the memory will not outlive this process, or ""."""
    bitmap: IntentBitmap

    def sync(self) -> None:
        """Make durable what has changed."""

    def adopt(self) -> None:
        """Record durably that the bits are in this memory from now on."""

    def close(self) -> None:
        """Make everything durable, and give the memory up."""


class ActivityFile(Protocol):
    """The activity log on stable storage."""

    created: bool
    """Whether there was none before."""
    damage: str
    """What is wrong with it, or ""."""
    record: ActivityRecord
    """What it said when it was read."""

    def open(self) -> None:
        """Make it ready for ``write``; replaces a record that is missing or damaged."""

    def write(self, serial: int, extents: Iterable[int]) -> None:
        """Commit ``extents`` as active, durably (R1)."""

    def close(self) -> None:
        """Close the file."""


class State(Protocol):
    """What a node remembers of a mirror, in its state directory, and in memory that outlives a process."""

    def boot_id(self) -> str:
        """Return the identity of this boot: what was written without a flush before survives only within it."""

    def read_metadata(self) -> NodeMetadata:
        """Return the record as it was written last."""

    def settle_metadata(self) -> None:
        """Make durable what ``read_metadata`` returns: a killed process may have put it in place in memory only."""

    def write_metadata(self, record: NodeMetadata) -> None:
        """Replace the record durably."""

    def make_intent_directory(self) -> None:
        """Make the directory of the intent log, durably, if it is not there."""

    def activity_file(self) -> ActivityFile:
        """Read the activity log."""

    def bitmap_file(self, metadata: NodeMetadata, peer: str, same_boot: bool, limits: Limits) -> BitmapFile:
        """Open or make the bitmap for ``peer``; ``same_boot``: memory of an earlier process may be taken over."""

    def forget_other_bits(self, peers: Collection[str]) -> None:
        """Give up the memory of bitmaps for nodes other than ``peers``."""

    def diverged(self) -> list[Saved]:
        """Return what was saved aside, the oldest first."""

    def save_diverged(self, store: Store, metadata: NodeMetadata, peer: str, runs: Iterable[tuple[int, int]]) -> Saved:
        """Copy ``runs`` (offset, length) of the store aside, durably, before ``peer`` replaces them."""

    def settle_diverged(self, store: Store) -> list[Saved]:
        """Leave out what is equal in the store now; return what stays."""


class DeviceSession(Protocol):
    """The requests of the device, and their answers. ``unique`` names a request."""

    @property
    def fd(self) -> int:
        """The descriptor that tells of requests; negative once it is closed."""

    def receive(self) -> Request | None:
        """Return the next request, None if none waits. Raises ``SessionEnded``."""

    def reply_written(self, unique: int, size: int) -> None:
        """So many bytes are written."""

    def reply_data(self, unique: int, data: Data) -> None:
        """This was read."""

    def reply_ok(self, unique: int) -> None:
        """It is done."""

    def reply_error(self, unique: int, code: int) -> None:
        """It has failed; ``code`` is an errno."""


class Device(Protocol):
    """The device that applications open."""

    @property
    def session(self) -> DeviceSession:
        """Its requests; to be served while anything of the device is called."""

    @property
    def link(self) -> object:
        """The path that applications open."""

    @property
    def loop(self) -> LoopDevice | None:
        """The loop device, once it is attached."""

    @property
    def taken_over(self) -> bool:
        """Whether it was a predecessor's."""

    @property
    def kept(self) -> bool:
        """Whether a successor can take it over."""

    def attach(self, done: Callable[[DkreplError | None], None]) -> None:
        """Make it usable, in a thread; then ``done(error)``, from that thread."""

    def users(self) -> list[str]:
        """Return who has it open."""

    def detach(self, done: Callable[[bool], None]) -> None:
        """Take it away, in a thread; then ``done(whether nobody had it open any more)``, from that thread."""

    def leave(self, drained: bool) -> None:
        """Leave it to a successor; ``drained``: every request that was taken is answered."""

    def close(self) -> None:
        """End the session: users that still have it open get errors from here on."""
