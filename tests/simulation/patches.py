"""What of the daemon is replaced during a simulation: clocks, randomness, threads, files, sockets, the device; and
limits that are too large to be met in a few seconds. Everything else is the code that ships."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from dkrepl.core.intent import activity_log, bitmap, peer_bitmaps
from dkrepl.core.lineage import metadata
from dkrepl.core.protocol import frames
from dkrepl.core.source import membership, resync, resync_queue, stream, target_view, write_log
from dkrepl.core.target import target
from dkrepl.daemon import intent_store
from dkrepl.daemon.control import commands, status
from dkrepl.daemon.peers import arbitration_runtime, door, lookout, peer_poll, promote
from dkrepl.daemon.source import publisher, requests, resync_reader, verify, zeroing
from dkrepl.daemon.source import runtime as source_runtime
from dkrepl.daemon.target import applier
from dkrepl.daemon.target import runtime as target_runtime
from tests.simulation import files, listener, loop, operator, sockets, stall
from tests.simulation.device import Device
from tests.simulation.settings import BLOCK

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

CAPACITY = 512  # writes in the log


@contextlib.contextmanager
def simulated(cluster: Cluster) -> Iterator[None]:
    """Let the daemon run in ``cluster`` for as long as this lasts."""
    saved: list[tuple[Any, str, Any]] = []

    def put(module: Any, **values: Any) -> None:
        for name, value in values.items():
            saved.append((module, name, getattr(module, name)))
            setattr(module, name, value)

    world = cluster.world
    clock = SimpleNamespace(monotonic=lambda: world.clock().monotonic, time=lambda: world.clock().wall)

    def timer(delay: float, call: Callable[[], None]) -> Any:
        return SimpleNamespace(start=lambda: world.after(delay, call), daemon=True)

    threads = SimpleNamespace(
        Condition=lambda: operator.Condition(world), Event=lambda: operator.Event(world), Timer=timer
    )
    system = SimpleNamespace(urandom=lambda count: world.rng.getrandbits(8 * count).to_bytes(count, "big"))
    put(
        source_runtime,
        SourceSockets=lambda *_: listener.SourceSockets(cluster.being_started),
        Device=lambda *_: Device(cluster.being_started),
        Workers=loop.Workers,
        StallWatch=stall.StallWatch,
        time=clock,
        os=system,
        threading=threads,
        _LAST_CONFIRMATIONS=1.0,
    )
    put(
        target_runtime,
        TargetSockets=lambda *of: sockets.TargetSockets(cluster.being_started, *of),
        Workers=loop.Workers,
        StallWatch=stall.StallWatch,
        time=clock,
        diverged=SimpleNamespace(found=lambda _: []),
        diverged_copy=SimpleNamespace(save=files.save_diverged, settle=lambda *_: []),
        _FLUSH_BYTES=400,
        _MESSAGES_A_ROUND=8,
    )
    boot_id = lambda: cluster.being_started.machine.disk.boot  # noqa: E731
    put(
        arbitration_runtime,
        Workers=loop.Workers,
        TargetSockets=lambda *of: sockets.TargetSockets(cluster.being_started, *of),
        time=clock,
        boot_seconds=clock.monotonic,
    )
    put(lookout, TargetSockets=lambda *of: sockets.TargetSockets(cluster.being_started, *of))
    put(
        commands,
        time=clock,
        boot_seconds=clock.monotonic,
        threading=threads,
        uuid=SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=f"{world.rng.getrandbits(128):032x}")),
    )
    put(peer_poll, threading=threads)
    put(promote, boot_seconds=clock.monotonic)
    put(status, time=clock, of_host=lambda store: (None, None))
    put(verify, time=clock)
    put(door, DoorSocket=lambda *_: listener.DoorSocket(cluster.being_started))
    put(
        intent_store,
        BitmapFile=files.BitmapFile,
        ActivityFile=files.ActivityFile,
        bits_memory=SimpleNamespace(remove_others=lambda *_: None),
        durable_file=SimpleNamespace(sync_directory=lambda _: None),
        metadata_file=SimpleNamespace(write=files.MetadataFile.write, boot_id=boot_id),
    )
    put(requests, time=clock, _DRAIN=6, _UNANSWERED_BYTES=1000)
    put(zeroing, time=clock, _EXTENTS=2, _FIRST=8 * BLOCK, _LEAST=8 * BLOCK)
    put(applier, _PIECE=8 * BLOCK)
    put(resync_reader, time=clock, RUN_BYTES=128, _IDLE_MESSAGES=3)
    put(publisher, COPY_BELOW=listener.COPY_BELOW, _MOST_RECORDS=3)
    put(activity_log, LIMIT=5, IDLE=2.0, AHEAD=1)
    put(resync, WINDOW=300, WINDOW_RUNS=4)
    put(frames, MAX_LENGTH=13 * 64)
    put(resync_queue, ZERO_EXTENTS=2, _ACTIVATE_AHEAD=2)
    put(membership, RETRY_LAST=4.0)
    put(write_log, CAPACITY=CAPACITY, _MASK=CAPACITY - 1, _WIDE=4, _CELL=4, _SMALL=2, _LARGE=4)
    for module in (bitmap, peer_bitmaps, resync, stream, write_log):
        put(module, PIECE_SHIFT=4)
    put(bitmap, FILL_PIECES=1)
    put(peer_bitmaps, _PIECES=1)
    put(target, BITMAP_PART_BYTES=1, _PARTS_A_ROUND=2)
    put(target_view, DURABLE_LIMIT=CAPACITY // 2)
    put(stream, LOG_LIMIT=CAPACITY - 100)
    put(metadata, HISTORY=4)
    try:
        yield
    finally:
        for module, name, value in reversed(saved):
            setattr(module, name, value)
