"""The daemon of one mirror: opens what it needs, runs as source or target, changes role when told, ends cleanly."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from dkrepl.config.description import Description, Node, require_keys, without_keys
from dkrepl.config.limits import DEFAULT
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.daemon.control.desk import Desk
from dkrepl.daemon.control.dispatcher import Dispatcher
from dkrepl.daemon.control.server import ControlServer
from dkrepl.daemon.events import EventLog, set_up_logging
from dkrepl.daemon.host import Host, HostState
from dkrepl.daemon.peers.arbitration_runtime import ArbitrationRuntime
from dkrepl.daemon.reactor import Reactor
from dkrepl.daemon.roles import Roles, Runtime
from dkrepl.daemon.source import device
from dkrepl.daemon.source.runtime import SourceRuntime
from dkrepl.daemon.watchdog import Watchdog
from dkrepl.errors import DkreplError, HostError, MetadataError, Refused
from dkrepl.io.host import memory
from dkrepl.io.net.access import OFF, Access
from dkrepl.io.state import description_file, node_keys
from dkrepl.io.state.paths import Paths
from dkrepl.io.state.sign_of_life import SignOfLife
from dkrepl.io.store.store import BackingStore
from dkrepl.io.systemd.notify import manager_address, notify


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
            state = HostState(paths.state_dir(mirror), paths.bits_memory(mirror))
            _check(description, node, state.read_metadata())
            # Open and locked until the end: between two roles another process could take it, and udevd would probe it.
            store = BackingStore(Path(node.store))
            try:
                roles = Roles(
                    outside=Host(
                        paths=paths, description=description, node=node, access=access, state=state, store=store
                    ),
                    description=description,
                    node=node,
                    events=events,
                    access=access,
                    age=age,
                    check=lambda metadata: _check(description, node, metadata),
                    make_loop=Reactor,
                )
                _run(roles, paths, description, events, stop, life)
            finally:
                store.close()
    except DkreplError:
        # The manager starts us again at once, for the sake of the device; what fails at the start need not be hurried.
        if manager_address() is not None:
            time.sleep(DEFAULT.start_failed_seconds)
        raise
    return 0


def _run(roles: Roles, paths: Paths, description: Description, events: EventLog, stop: _Stop, life: SignOfLife) -> None:
    """Run one role after the other, until the daemon is to end."""
    roles.start()
    while roles.runtime is not None and isinstance(roles.loop, Reactor):
        reactor = roles.loop
        try:
            with stop.ends(roles, reactor):
                try:
                    _serve(roles, roles.runtime, reactor, paths, description, events, life)
                except BaseException:
                    roles.runtime.close()
                    raise
            roles.ended()
        finally:
            reactor.close()


class _Stop:
    """The wish to end, by a signal."""

    def __init__(self) -> None:
        self._asked = False
        self._present: tuple[Roles, Reactor] | None = None

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
    def ends(self, roles: Roles, reactor: Reactor) -> Iterator[None]:
        """Meanwhile the wish to end is told to ``roles``, in its loop."""
        self._present = roles, reactor
        if self._asked:
            reactor.post(roles.stop)
        try:
            yield
        finally:
            self._present = None
            if self._asked:
                roles.stop()  # it came too late for the loop

    def _signalled(self, _signum: int, _frame: FrameType | None) -> None:
        self._asked = True
        if self._present is not None:
            roles, reactor = self._present
            reactor.post(roles.stop)


def _access(paths: Paths, description: Description, node: Node, events: EventLog) -> Access:
    require_keys(description)
    if description.security == "none":
        events.report("security_off", "warning", {"reason": OFF})
        return Access(description, node, None, events.report)
    return Access(description, node, node_keys.load(paths), events.report)


def _serve(
    roles: Roles,
    runtime: Runtime,
    reactor: Reactor,
    paths: Paths,
    description: Description,
    events: EventLog,
    life: SignOfLife,
) -> None:
    """Run the loop of one role until it has ended."""
    desk = Desk(runtime, reactor, events, roles.order, lambda: _new_keys(paths, description, runtime.here.access))
    server = ControlServer(paths.socket(description.name), Dispatcher(desk, events).begin)
    watchdog = Watchdog(reactor, lambda: not isinstance(runtime, ArbitrationRuntime) and runtime.stall.excused)
    ready = threading.Event()
    events.report("daemon_started", fields={"role": runtime.role, "pid": os.getpid()})

    def tick() -> None:
        runtime.tick()
        if isinstance(runtime, SourceRuntime):
            life.show()

    try:
        server.start()
        runtime.start(ready.set)
        watchdog.start(ready)
        reactor.run(runtime.step, tick)
    finally:
        changes = roles.node.change is not None
        if not changes and (roles.node.stopping or not isinstance(runtime, ArbitrationRuntime)):
            notify("STOPPING=1")
        watchdog.stop()
        server.close()
    if runtime.error is None:
        events.report("daemon_stopped", fields={"role": runtime.role, "role_changed": changes})


def _new_keys(paths: Paths, description: Description, access: Access) -> None:
    """Take the peers' keys from the description as it is now. Raises ``DkreplError``; then nothing has changed."""
    found = description_file.load(description.name, paths.etc)
    require_keys(found)
    if without_keys(found) != without_keys(description):
        raise Refused(
            f"more than keys has changed in {paths.description(found.name)}; a reload takes up public keys only, so "
            f"restart dkrepl@{found.name}"
        )
    access.renew(found)
    _description_read(paths, found.name)


def _description_read(paths: Paths, mirror: str) -> None:
    """Leave a file whose time says that the daemon knows the description as it was then."""
    paths.run.mkdir(parents=True, exist_ok=True)
    paths.description_read(mirror).touch(mode=0o640)


def _check(description: Description, node: Node, metadata: NodeMetadata) -> None:
    """Raise ``DkreplError`` if a role cannot begin with this record."""
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
    if metadata.role == "source" and os.geteuid() != 0:
        raise HostError("a source needs root, to mount FUSE and attach a loop device; run it as root")
