"""A host: its disk, and the daemon that runs on it, if one does."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.disk import Disk
from tests.simulation.process import Process
from tests.simulation.truth import Follower, Point
from tests.simulation.verdicts import Known
from tests.simulation.world import Clock

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster


class Machine:
    """``disk_faults`` gives the probability of failure of each kind of operation."""

    def __init__(self, cluster: Cluster, name: str, disk: Disk) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.name: str = name
        self.disk = disk
        self.described = cluster.description  # what its description file says; a daemon reads it when it starts
        self.process: Process | None = None
        self.lives: list[Process] = []  # all that it ever had
        self.stuck = False
        self.suspended = False  # nothing on it runs
        self.deferred: list[Callable[[], None]] = []  # what it does when it goes on
        self.wall = 0.0  # seconds that its wall clock is off
        self._ahead = cluster.world.random(f"clock of {name}").uniform(0.0, 1e6)  # of its monotonic clock
        self._memory = cluster.world.random(f"memory of {name}")
        self._suspended_at = 0.0
        self.slow = 1.0
        self.cold = cluster.settings.cold
        self.disk_faults: dict[str, float] = {}
        self.errno = errno.EIO  # of its disk's failures
        self.full: set[str] = set()  # file systems without space: "store", "state"
        # what is known of it, for the checks
        self.follower = Follower()
        self.known = Known()
        self.point: Point | None = None  # whose content it has
        self.becoming: Point | None = None  # whose it has if its resync ended unseen
        self.reached: dict[int, int] = {}  # session -> newest seq seen applied
        self.joined = (0, 0)
        self.fell: Point | None = None  # whose content it had when its store failed, in sync until then
        self.tainted: tuple[int, int] = (-1, -1)  # a local write failed at its source during this epoch
        self.excused = False  # a fault after which a full resync is the right thing
        self.forced = False  # it is being promoted by force
        self.alone = False  # it was source, and serves again although others did not answer, as its description says
        self.discards = False  # an administrator gave up what it alone has
        self.kept: dict[str, dict[int, bytes]] = {}  # peer -> blocks copied aside before it replaces them
        self.power_lost = False  # since its last epoch
        self.left = b""  # what the power loss left in its store
        self.died: tuple[Point | None, bytes] = (
            None,
            b"",
        )  # whose content it had when it was killed, and what that was
        self.store_failed = False  # its daemon has seen a flush fail
        self.went_back = False  # a flush of its store has just failed, and its daemon does not know yet
        self.synced_at: int | None = None  # seq at which it came in sync, in this epoch
        self.ended_at = 0.0  # when its daemon ended last
        self.late = False  # its loop has just been stuck
        self.showed_life: float | None = None  # when its source last did, in memory that outlives the process

    def handed_over(self) -> float | None:
        """Seconds since the last sign of life of the source whose device is handed over; None if none is."""
        if self.showed_life is None or not self.cluster.settings.kept:
            return None
        return self.monotonic() - self.showed_life

    def holds(self) -> Point | None:
        """Whose content it has; None for a mixture, or its own."""
        if self.point is None and self.disk.metadata().store_state == "Consistent":
            return self.becoming
        return self.point

    def held(self, point: Point) -> bytes:
        """What it had, as ``point`` says."""
        if self.power_lost:
            return self.left
        of, content = self.died
        return content if of == point else bytes(self.cluster.sessions[point[0]].image(point[1]))

    def clock(self) -> Clock:
        """What its clocks show, in seconds: the monotonic one counts from its boot, and not while it is suspended."""
        return Clock(self.monotonic(), self.world.now + self.wall)

    def monotonic(self) -> float:
        """What its monotonic clock shows."""
        return (self._suspended_at if self.suspended else self.world.now) + self._ahead

    def suspend(self) -> None:
        """Nothing runs on it any more, until ``resume``."""
        if not self.suspended:
            self.suspended, self._suspended_at = True, self.world.now

    def resume(self, noticed: bool) -> None:
        """Go on; ``noticed``: its monotonic clock has counted on meanwhile, as a virtual machine's may."""
        if not self.suspended:
            return
        self.suspended = False
        if not noticed:
            self._ahead -= self.world.now - self._suspended_at
        deferred, self.deferred = self.deferred, []
        for work in deferred:
            self.world.after(0.0, work)

    def loop_delay(self) -> float:
        """Seconds until a loop that was woken runs."""
        return self.world.rng.random() * 0.0008 * self.slow

    def work_delay(self) -> float:
        """Seconds until a worker thread gets to its work."""
        return self.world.rng.random() * 0.004 * self.slow

    def start(self) -> None:
        """Start the daemon, if the machine has none, and is a node of the mirror that its description file tells of."""
        if self.process is None and any(node.name == self.name for node in self.described.nodes):
            self.store_failed = False
            if self.disk.metadata().role == "target":
                self.forced = False  # whatever was to be promoted by force, was not
            self.process = Process(self)
            self.lives.append(self.process)
            self.cluster.switch.machine_is_back(self.name)
            self.process.start()

    def crash(self, kind: str) -> None:
        """The daemon is killed, or the machine loses its power."""
        process = self.process
        if process is None and kind == "kill":
            return
        if process is not None:
            self.suspended, self.deferred = False, []
            process.end("loses its power" if kind == "power" else "is killed", kind == "power")
        if kind == "kill" and self._memory.random() < 0.1:
            # It was anonymous memory: the files are what is left. Of the memories of one death, some may be kept.
            for name in sorted(self.disk.memory):
                if self._memory.random() < 0.7:
                    del self.disk.memory[name]
            self.world.count("memory of bitmaps lost")
        # The daemon may have died in a change that has no place in any stream yet.
        self.died = (self.point, bytes(self.disk.store.cache))
        self.cluster.checks.before_crash(self, kind)
        if kind == "power":
            self.cluster.application.source_is_no_more(self.name)
            self.showed_life = None
            self.disk.lose_power(self.world.rng)
            self.cluster.answers.power_lost(self.cluster.machines.values())
            self.left = bytes(self.disk.store.cache)
            self._ahead = -self.world.now  # the clock counts from the boot
        self.world.count(f"{'power lost' if kind == 'power' else 'killed'}")
