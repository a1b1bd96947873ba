"""What of the daemon is replaced during a simulation: clocks, randomness, threads, files, sockets, the device.
Everything else is the code that ships, with the limits of ``settings.py``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from dkrepl.daemon import intent_store
from dkrepl.daemon.control import commands, promote, status
from dkrepl.daemon.peers import arbitration_runtime, door, lookout, peer_poll
from dkrepl.daemon.source import requests, resync_reader, verify, zeroing
from dkrepl.daemon.source import runtime as source_runtime
from dkrepl.daemon.target import runtime as target_runtime
from tests.simulation import files, listener, loop, operator, sockets, stall
from tests.simulation.device import Device

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster


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
        SourceSockets=lambda *_, **__: listener.SourceSockets(cluster.being_started),
        Device=lambda *_, **__: Device(cluster.being_started),
        Workers=loop.Workers,
        StallWatch=stall.StallWatch,
        time=clock,
        os=system,
        threading=threads,
    )
    put(
        target_runtime,
        TargetSockets=lambda *of: sockets.TargetSockets(cluster.being_started, *of),
        Workers=loop.Workers,
        StallWatch=stall.StallWatch,
        time=clock,
        diverged=SimpleNamespace(found=lambda _: []),
        diverged_copy=SimpleNamespace(save=files.save_diverged, settle=lambda *_: []),
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
    put(requests, time=clock)
    put(zeroing, time=clock)
    put(resync_reader, time=clock)
    try:
        yield
    finally:
        for module, name, value in reversed(saved):
            setattr(module, name, value)
