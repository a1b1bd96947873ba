"""What a daemon needs from the world outside: clocks, randomness, its loop and threads, sockets, the device, files.

Every runtime gets one ``Outside`` and makes from it what it needs. ``host.py`` has the real one, and the simulator one
of its own. So a module that both run imports neither ``time`` nor ``threading``, makes no random number, and opens no
socket and no file. Sizes are in bytes, times in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from dkrepl.api import status
from dkrepl.config.limits import Limits
from dkrepl.daemon.connections import ControlPortSocket, SourceSockets, TargetSockets
from dkrepl.daemon.storage import Device, State, Store
from dkrepl.errors import DkreplError
from dkrepl.io.store.calls import StoreCalls

Result = TypeVar("Result")
Done = Callable[[Result | None, DkreplError | None], None]
Report = Callable[[str, str, dict[str, object]], None]


class Clock(Protocol):
    """The clocks of this machine."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back, and stands still while the machine is suspended."""

    def wall(self) -> float:
        """Unix seconds; to be shown and recorded, never reckoned with."""

    def boot(self) -> float:
        """Seconds since the boot, also those in which the machine was suspended: for what peers rely on meanwhile."""


class Randomness(Protocol):
    """Random numbers, so large that no two draws give the same."""

    def session(self) -> int:
        """Return the number of a run as source: 63 bits, never 0."""

    def identity(self) -> str:
        """Return the identity of a generation: 16 hex digits."""

    def mirror_id(self) -> str:
        """Return the identity of a mirror: 32 hex digits."""


class Loop(Protocol):
    """The one loop of a daemon: everything that touches the core or a socket runs in it."""

    stopping: bool
    """Set it to end the loop after this round."""
    busy: bool
    """Set it if there is more to do at once, so that the loop does not wait."""

    @property
    def moved(self) -> int:
        """Rounds so far: who watches sees by it that the loop moves."""

    @property
    def ended(self) -> bool:
        """Whether the loop has run and runs no more: what is posted now is never done."""

    def watch(self, fd: int, handler: Callable[[], None]) -> None:
        """Call ``handler`` whenever ``fd`` is readable."""

    def ignore(self, fd: int) -> None:
        """Undo ``watch``; one that is not watched is no error."""

    def post(self, work: Callable[[], None]) -> None:
        """From any thread: run ``work`` in the loop, soon; never, if the loop has ended."""

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """From the loop: run ``work`` in the loop after so many seconds; never, if the loop has ended before."""


class Events(Protocol):
    """What the daemon tells the administrator."""

    def report(self, name: str, level: str = "info", fields: Mapping[str, Any] | None = None) -> None:
        """Record the event ``name`` at ``level`` (info, warning, error). From any thread."""


class Workers(Protocol):
    """Threads for what may block."""

    def run(self, kind: str, work: Callable[[], Result], done: Done[Result]) -> None:
        """Call ``work`` in a thread of ``kind``, then ``done(result, error)`` in the loop."""

    def close(self) -> None:
        """Wait for what is running; drop what has not begun."""


class StallWatch(Protocol):
    """Tells the peers that this node lives while its store stands still (R13)."""

    @property
    def loop_seconds(self) -> float:
        """For how long the loop has waited for the store; 0 if it goes on."""

    @property
    def excused(self) -> bool:
        """Whether the loop waits for the store, and has not done so for too long."""

    def worker_seconds(self, now: float) -> float:
        """Return for how long a worker has waited for the store; 0 if it has not done so for a peer timeout."""

    def start(self) -> None:
        """Begin to watch, when the loop is about to run."""

    def stop(self) -> None:
        """Watch no more."""

    def renew_keys(self) -> None:
        """The peers' keys have changed."""


class Outside(Protocol):
    """The outside of one node of one mirror. A method makes a new one of what it names, or raises ``HostError``."""

    @property
    def clock(self) -> Clock:
        """The clocks."""

    @property
    def randomness(self) -> Randomness:
        """The source of randomness."""

    @property
    def store(self) -> Store:
        """The backing store, open for as long as the daemon runs."""

    @property
    def state(self) -> State:
        """What the node remembers of the mirror on stable storage."""

    def workers(self, loop: Loop) -> Workers:
        """Make threads whose results come back in ``loop``."""

    def stall_watch(self, loop: Loop, calls: StoreCalls, report: Report) -> StallWatch:
        """Make a watch over ``loop``, as far as it waits for ``calls`` of the store; ``report``: from any thread."""

    def source_sockets(self, limits: Limits) -> SourceSockets:
        """Bind the ports of a source."""

    def target_sockets(self) -> TargetSockets:
        """Make sockets to every peer, for a target, or for one that asks."""

    def control_port_socket(self) -> ControlPortSocket:
        """Bind the control port of a node that is not source."""

    def device(self, limits: Limits) -> Device:
        """Make the device that applications open, or take it over from a predecessor."""

    def abandon_device(self) -> None:
        """Give up the device that a predecessor left: its users get errors, not silence."""

    def is_restart(self) -> bool:
        """Whether the service manager stops this daemon to start it again at once; may take seconds."""

    def figures(self) -> tuple[status.Process | None, status.Host | None]:
        """Return figures of the process and of the host, for status. From any thread."""
