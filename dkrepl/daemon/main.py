"""The daemon of one mirror: opens what it needs, runs as source or target, changes role when told, ends cleanly."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import FrameType

from dkrepl.core.description import Description, Node
from dkrepl.core.errors import HostError, MetadataError
from dkrepl.core.metadata import NodeMetadata
from dkrepl.daemon.commands import Commands
from dkrepl.daemon.control_server import ControlServer
from dkrepl.daemon.events import EventLog, set_up_logging
from dkrepl.daemon.reactor import Reactor
from dkrepl.daemon.source_runtime import SourceRuntime
from dkrepl.daemon.target_runtime import TargetRuntime
from dkrepl.daemon.watchdog import Watchdog
from dkrepl.io import description_file, memory, metadata_file
from dkrepl.io.notify import notify
from dkrepl.io.paths import Paths
from dkrepl.io.store import BackingStore

Runtime = SourceRuntime | TargetRuntime


def main(paths: Paths, mirror: str, node_name: str | None) -> int:
    """Run the daemon until SIGTERM or SIGINT; return the exit code. Raises ``DkreplError`` if it cannot start."""
    description = description_file.load(mirror, paths.etc)
    node = description_file.which_node(description, node_name)
    set_up_logging()
    events = EventLog(mirror, node.name)
    memory.keep_freed_memory()
    memory.serve_io()
    again = True
    while again:
        again = _run(paths, description, node, events)
    return 0


def _run(paths: Paths, description: Description, node: Node, events: EventLog) -> bool:
    """Run in the role that the metadata says; return whether to go on, in another role."""
    metadata = _checked_metadata(paths, description, node)
    if metadata.role == "source" and os.geteuid() != 0:
        raise HostError("a source needs root, to mount FUSE and attach a loop device; run it as root")
    store = BackingStore(Path(node.store))
    reactor = Reactor()
    try:
        kind = SourceRuntime if metadata.role == "source" else TargetRuntime
        runtime: Runtime = kind(paths, description, node, metadata, store, reactor, events)
        try:
            again = _serve(paths, description, runtime, reactor, events)
        finally:
            runtime.close()
        if runtime.becomes is not None:
            state_dir = paths.state_dir(description.name)
            metadata_file.write(state_dir, runtime.becomes(metadata_file.read(state_dir)))
        return again
    finally:
        store.close()
        reactor.close()


def _serve(paths: Paths, description: Description, runtime: Runtime, reactor: Reactor, events: EventLog) -> bool:
    stopping = threading.Event()

    def stop(signum: int = 0, frame: FrameType | None = None) -> None:
        if not stopping.is_set():
            stopping.set()
            reactor.post(runtime.stop)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    commands = Commands(runtime, reactor, events, stop)
    server = ControlServer(paths.socket(description.name), commands)
    watchdog = Watchdog(reactor)
    ready = threading.Event()
    events.tell("daemon_started", fields={"role": runtime.role, "pid": os.getpid()})
    try:
        server.start()
        runtime.start(ready)
        watchdog.start(ready)
        reactor.run(runtime.step, runtime.tick)
    finally:
        notify("STOPPING=1") if not commands.role_changed else None
        watchdog.stop()
        server.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    if runtime.error is not None:
        raise runtime.error
    events.tell("daemon_stopped", fields={"role": runtime.role, "role_changed": commands.role_changed})
    return commands.role_changed


def _checked_metadata(paths: Paths, description: Description, node: Node) -> NodeMetadata:
    metadata = metadata_file.read(paths.state_dir(description.name))
    for what, recorded, described in (
        ("node", metadata.node, node.name),
        ("size", metadata.size, description.size),
        ("block", metadata.block, description.block),
        ("extent", metadata.extent, description.extent),
    ):
        if recorded != described:
            raise MetadataError(
                f"{description.name} was initialised with {what} {recorded}, and its description now says {described}; "
                "undo the change, or initialise the node again"
            )
    return metadata
