"""The daemon of one mirror: opens what it needs, runs as source or target, changes role when told, ends cleanly."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from dkrepl.config.description import Description, Node, require_keys, without_keys
from dkrepl.config.limits import DEFAULT
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.daemon import lifecycle
from dkrepl.daemon.control.commands import Commands
from dkrepl.daemon.control.server import ControlServer
from dkrepl.daemon.events import EventLog, set_up_logging
from dkrepl.daemon.host import Host, HostState
from dkrepl.daemon.peers.arbitration_runtime import ArbitrationRuntime
from dkrepl.daemon.reactor import Reactor
from dkrepl.daemon.source import device
from dkrepl.daemon.source.runtime import SourceRuntime
from dkrepl.daemon.target.runtime import TargetRuntime
from dkrepl.daemon.watchdog import Watchdog
from dkrepl.errors import DkreplError, HostError, MetadataError, Refused
from dkrepl.io.host import memory
from dkrepl.io.net.access import OFF, Access
from dkrepl.io.state import description_file, node_keys
from dkrepl.io.state.paths import Paths
from dkrepl.io.state.sign_of_life import SignOfLife
from dkrepl.io.store.store import BackingStore
from dkrepl.io.systemd.notify import manager_address, notify

Runtime = SourceRuntime | TargetRuntime | ArbitrationRuntime


def main(paths: Paths, mirror: str, node_name: str | None) -> int:
    """Run the daemon until SIGTERM or SIGINT; return the exit code. Raises ``DkreplError`` if it cannot start."""
    description = description_file.load(mirror, paths.etc)
    node = description_file.which_node(description, node_name)
    set_up_logging()
    events = EventLog(mirror, node.name)
    memory.keep_freed_memory()
    memory.serve_io()
    stop = _Stop()
    try:
        with stop.on_signals():
            access = _access(paths, description, node, events)
            _description_read(paths, mirror)
            life = SignOfLife()
            age = life.age if device.handed_over() else None
            # Open and locked until the end: between two roles another process could take it, and udevd would probe it.
            state = HostState(paths.state_dir(mirror), paths.bits_memory(mirror))
            store = _store(state, description, node)
            try:
                host = Host(paths=paths, description=description, node=node, access=access, state=state, store=store)
                _ask_peers(host, paths, description, node, events, stop, access, age)
                first = True
                while not stop.asked and _run(host, paths, description, node, events, stop, access, life, first):
                    first = False
            finally:
                store.close()
    except DkreplError:
        # The manager starts us again at once, for the sake of the device; what fails at the start need not be hurried.
        if manager_address() is not None:
            time.sleep(DEFAULT.start_failed_seconds)
        raise
    return 0


class _Stop:
    """The wish to end: of one runtime, so that the next role begins, or by a signal of the daemon as a whole."""

    def __init__(self) -> None:
        self.asked = False
        self._end: Callable[[], None] | None = None

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT as the wish to end the daemon."""
        before = {number: signal.signal(number, self._signalled) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def ends(self, end: Callable[[], None]) -> Iterator[None]:
        """``end`` is what ends the runtime that serves now; it is called once at the most."""
        self._end = end
        if self.asked:
            self.runtime()
        try:
            yield
        finally:
            self._end = None

    def runtime(self) -> None:
        """End the runtime that serves now. May be called from any thread."""
        end, self._end = self._end, None
        if end is not None:
            end()

    def _signalled(self, _signum: int, _frame: FrameType | None) -> None:
        self.asked = True
        self.runtime()


def _access(paths: Paths, description: Description, node: Node, events: EventLog) -> Access:
    require_keys(description)
    if description.security == "none":
        events.report("security_off", "warning", {"reason": OFF})
        return Access(description, node, None, events.report)
    return Access(description, node, node_keys.load(paths), events.report)


def _ask_peers(
    host: Host,
    paths: Paths,
    description: Description,
    node: Node,
    events: EventLog,
    stop: _Stop,
    access: Access,
    age: float | None,
) -> None:
    """A node that is to be source asks first whether another was promoted; then it becomes a target (R7)."""
    metadata = _checked_metadata(host.state, description, node)
    if not lifecycle.asks_first(metadata):
        return
    reactor = Reactor()
    try:
        runtime = ArbitrationRuntime(host, description, node, metadata, reactor, events, access, age)
        try:
            _serve(paths, description, runtime, reactor, events, stop)
        finally:
            runtime.close()
    finally:
        reactor.close()
    arbitration = runtime.arbitration
    step = lifecycle.after_arbitration(
        host.state.read_metadata(), arbitration.verdict, runtime.becomes, runtime.overruled, arbitration.with_outcome
    )
    if step.record is not None:
        host.state.write_metadata(step.record)
    if step.abandons:
        device.abandon(paths, description.name)
    if not step.serves:
        stop.asked = True


def _run(
    host: Host,
    paths: Paths,
    description: Description,
    node: Node,
    events: EventLog,
    stop: _Stop,
    access: Access,
    life: SignOfLife,
    first: bool,
) -> bool:
    """Run in the role that the metadata says; return whether to go on, in another role."""
    metadata = lifecycle.served_with(_checked_metadata(host.state, description, node), first)
    _check_root(metadata)
    host.store.begin()
    reactor = Reactor()
    try:
        kind = SourceRuntime if metadata.role == "source" else TargetRuntime
        runtime: SourceRuntime | TargetRuntime = kind(host, description, node, metadata, reactor, events, access)
        try:
            _serve(paths, description, runtime, reactor, events, stop, life)
        finally:
            runtime.close()
        step = lifecycle.after_serving(host.state.read_metadata(), runtime.becomes)
        if step.record is not None:
            host.state.write_metadata(step.record)
        return step.serves
    finally:
        reactor.close()


def _store(state: HostState, description: Description, node: Node) -> BackingStore:
    """Open the node's store, once it is known that this node is initialised and may serve."""
    _check_root(_checked_metadata(state, description, node))
    return BackingStore(Path(node.store))


def _check_root(metadata: NodeMetadata) -> None:
    if metadata.role == "source" and os.geteuid() != 0:
        raise HostError("a source needs root, to mount FUSE and attach a loop device; run it as root")


def _serve(
    paths: Paths,
    description: Description,
    runtime: Runtime,
    reactor: Reactor,
    events: EventLog,
    stop: _Stop,
    life: SignOfLife | None = None,
) -> None:
    commands = Commands(runtime, reactor, events, stop.runtime, lambda: _new_keys(paths, description, runtime.access))
    server = ControlServer(paths.socket(description.name), commands)
    watchdog = Watchdog(reactor, lambda: not isinstance(runtime, ArbitrationRuntime) and runtime.stall.excused)
    ready = threading.Event()
    events.report("daemon_started", fields={"role": runtime.role, "pid": os.getpid()})

    def tick() -> None:
        runtime.tick()
        if life is not None and isinstance(runtime, SourceRuntime):
            life.show()

    try:
        server.start()
        runtime.start(ready)
        watchdog.start(ready)
        with stop.ends(lambda: reactor.post(runtime.stop)):
            reactor.run(runtime.step, tick)
    finally:
        if runtime.becomes is None and (stop.asked or not isinstance(runtime, ArbitrationRuntime)):
            notify("STOPPING=1")
        watchdog.stop()
        server.close()
    if runtime.error is not None:
        raise runtime.error
    changed = runtime.becomes is not None
    events.report("daemon_stopped", fields={"role": runtime.role, "role_changed": changed})


def _new_keys(paths: Paths, description: Description, access: Access) -> None:
    """Take the peers' keys from the description as it is now. Raises ``DkreplError``; then nothing has changed."""
    found = description_file.load(description.name, paths.etc)
    require_keys(found)
    if without_keys(found) != without_keys(description):
        raise Refused(
            f"more than keys has changed in {paths.description(found.name)}; only keys are taken up by a reload, "
            f"for the rest restart dkrepl@{found.name}"
        )
    access.renew(found)
    _description_read(paths, found.name)


def _description_read(paths: Paths, mirror: str) -> None:
    """Leave a file whose time says that the daemon knows the description as it was then."""
    paths.run.mkdir(parents=True, exist_ok=True)
    paths.description_read(mirror).touch(mode=0o640)


def _checked_metadata(state: HostState, description: Description, node: Node) -> NodeMetadata:
    metadata = state.read_metadata()
    state.settle_metadata()
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
