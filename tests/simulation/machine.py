"""A host: its disk, and the daemon that runs on it, if one does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.disk import Disk
from tests.simulation.process import Process
from tests.simulation.truth import Follower, Point

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster


class Machine:
    """``disk_faults`` gives the probability of failure of each kind of operation."""

    def __init__(self, cluster: Cluster, name: str, disk: Disk) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.name: str = name
        self.disk = disk
        self.process: Process | None = None
        self.stuck = False
        self.slow = 1.0
        self.cold = cluster.settings.cold
        self.disk_faults: dict[str, float] = {}
        # what is known of it, for the checks
        self.follower = Follower()
        self.point: Point | None = None  # whose content it has
        self.becoming: Point | None = None  # whose it has if its resync ended unseen
        self.reached: dict[int, int] = {}  # session -> newest seq seen applied
        self.joined = (0, 0)
        self.tainted: tuple[int, int] = (-1, -1)  # a local write failed at its source during this joining
        self.excused = False  # a fault after which a full resync is the right thing
        self.excused_once = False  # the next joining may overwrite what nobody else has: an administrator said so
        self.power_lost = False  # since its last joining
        self.store_failed = False  # its daemon has seen a flush fail
        self.went_back = False  # a flush of its store has just failed, and its daemon does not know yet
        self.synced_at: int | None = None  # seq at which it came in sync, in this joining
        self.late = False  # its loop has just been stuck

    def holds(self) -> Point | None:
        """Whose content it has; None for a mixture, or its own."""
        if self.point is None and self.disk.metadata().store_state == "Consistent":
            return self.becoming
        return self.point

    def loop_delay(self) -> float:
        """Seconds until a loop that was woken runs."""
        return self.world.rng.random() * 0.0008 * self.slow

    def work_delay(self) -> float:
        """Seconds until a worker thread gets to its work."""
        return self.world.rng.random() * 0.004 * self.slow

    def start(self) -> None:
        """Start the daemon, if the machine has none."""
        if self.process is None:
            self.store_failed = False
            self.process = Process(self)
            self.cluster.switch.machine_is_back(self.name)
            self.process.start()

    def crash(self, kind: str) -> None:
        """The daemon is killed, or the machine loses its power."""
        process = self.process
        if process is None and kind == "kill":
            return
        if process is not None:
            process.end("loses its power" if kind == "power" else "is killed", kind == "power")
        self.cluster.checks.before_crash(self, kind)
        if kind == "power":
            self.cluster.application.source_is_no_more(self.name)
            self.disk.lose_power(self.world.rng)
        self.world.count(f"{'power lost' if kind == 'power' else 'killed'}")
