"""The real outside of a daemon: the clocks, threads, sockets, files and the device of the host that it runs on."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Collection, Iterable
from pathlib import Path

from dkrepl.api import status
from dkrepl.config.description import Description, Node
from dkrepl.config.limits import Limits
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.daemon import figures
from dkrepl.daemon.outside import Loop, Report
from dkrepl.daemon.peers.stall_watch import StallWatch
from dkrepl.daemon.source import device
from dkrepl.daemon.source.device import Device
from dkrepl.daemon.storage import Store
from dkrepl.daemon.workers import Workers
from dkrepl.io.host.boot_clock import boot_seconds
from dkrepl.io.net.access import Access
from dkrepl.io.net.control_port_socket import ControlPortSocket
from dkrepl.io.net.source_sockets import SourceSockets
from dkrepl.io.net.target_sockets import TargetSockets
from dkrepl.io.state import bits_memory, durable_file, metadata_file
from dkrepl.io.state.activity_file import ActivityFile
from dkrepl.io.state.bitmap_file import BitmapFile
from dkrepl.io.state.paths import Paths
from dkrepl.io.store import diverged, diverged_copy
from dkrepl.io.store.calls import StoreCalls
from dkrepl.io.store.diverged import Saved
from dkrepl.io.systemd import jobs


class HostClock:
    """The kernel's clocks."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
    boot = staticmethod(boot_seconds)


class HostRandomness:
    """The kernel's random numbers."""

    def session(self) -> int:
        """Return the number of a run as source."""
        return int.from_bytes(os.urandom(8), "little") >> 1 | 1

    def identity(self) -> str:
        """Return the identity of a generation."""
        return os.urandom(8).hex()

    def mirror_id(self) -> str:
        """Return the identity of a mirror."""
        return uuid.uuid4().hex


class HostState:
    """The state directory of a mirror, and the memory of its bitmaps."""

    def __init__(self, directory: Path, memory: Path) -> None:
        self._directory = directory
        self._intent = directory / "intent"
        self._memory = memory

    def boot_id(self) -> str:
        """Return the kernel's identity of this boot."""
        return metadata_file.boot_id()

    def read_metadata(self) -> NodeMetadata:
        """Return the record. Raises ``NotFound``, ``MetadataError``."""
        return metadata_file.read(self._directory)

    def settle_metadata(self) -> None:
        """Make durable what ``read_metadata`` returns. Raises ``MetadataError``."""
        metadata_file.settle(self._directory)

    def write_metadata(self, record: NodeMetadata) -> None:
        """Replace the record durably. Raises ``MetadataError``."""
        metadata_file.write(self._directory, record)

    def make_intent_directory(self) -> None:
        """Make the directory of the intent log, durably, if it is not there. Raises ``MetadataError``."""
        if not self._intent.exists():
            self._intent.mkdir(mode=0o700)
            durable_file.sync_directory(self._directory)

    def activity_file(self) -> ActivityFile:
        """Read the activity log. Raises ``MetadataError``."""
        return ActivityFile(self._intent / "active")

    def bitmap_file(self, metadata: NodeMetadata, peer: str, same_boot: bool, limits: Limits) -> BitmapFile:
        """Open or make the bitmap for ``peer``. Raises ``MetadataError``."""
        path, memory = self._intent / f"{peer}.bitmap", self._memory / peer
        return BitmapFile(path, metadata, peer, memory, same_boot, limits=limits)

    def forget_other_bits(self, peers: Collection[str]) -> None:
        """Give up the memory of bitmaps for nodes other than ``peers``."""
        bits_memory.remove_others(self._memory, peers)

    def diverged(self) -> list[Saved]:
        """Return what was saved aside. Raises ``MetadataError``."""
        return diverged.found(self._directory)

    def save_diverged(self, store: Store, metadata: NodeMetadata, peer: str, runs: Iterable[tuple[int, int]]) -> Saved:
        """Copy ``runs`` of the store aside. Raises ``StoreError``, ``MetadataError``."""
        return diverged_copy.save(
            self._directory, store, metadata.mirror, metadata.size, metadata.generation, peer, runs
        )

    def settle_diverged(self, store: Store) -> list[Saved]:
        """Leave out what is equal in the store now. Raises ``StoreError``, ``MetadataError``."""
        return diverged_copy.settle(self._directory, store)


class Host:
    """The outside of ``node`` of a mirror. Of what it makes, nothing outlives the runtime that it is made for."""

    def __init__(
        self,
        *,
        paths: Paths,
        description: Description,
        node: Node,
        access: Access,
        state: HostState,
        store: Store,
    ) -> None:
        self.clock = HostClock()
        self.randomness = HostRandomness()
        self.store = store
        self.state = state
        self._paths = paths
        self._description = description
        self._node = node
        self._access = access

    def workers(self, loop: Loop) -> Workers:
        """Make threads whose results come back in ``loop``."""
        return Workers(loop)

    def stall_watch(self, loop: Loop, calls: StoreCalls, report: Report) -> StallWatch:
        """Make the thread that watches over ``loop`` and its ``calls`` of the store."""
        return StallWatch(self._description, self._node, self._access, loop, calls, report)

    def source_sockets(self, limits: Limits) -> SourceSockets:
        """Bind the ports of a source. Raises ``HostError``."""
        return SourceSockets(self._description, self._node, self._access, limits=limits)

    def target_sockets(self) -> TargetSockets:
        """Make sockets to every peer."""
        return TargetSockets(self._description, self._node, self._access)

    def control_port_socket(self) -> ControlPortSocket:
        """Bind the control port. Raises ``HostError``."""
        return ControlPortSocket(self._description, self._node, self._access)

    def device(self, limits: Limits) -> Device:
        """Make the device, or take it over. Raises ``HostError``."""
        return Device(self._paths, self._description.name, self._description.size, limits=limits)

    def abandon_device(self) -> None:
        """Give up the device that a predecessor left."""
        device.abandon(self._paths, self._description.name)

    def is_restart(self) -> bool:
        """Ask the service manager whether it stops this daemon to start it again."""
        return jobs.is_restart()

    def figures(self) -> tuple[status.Process, status.Host]:
        """Return figures of the process and of the host."""
        return figures.of_host(self._node.store)
