"""What a simulated daemon has of the outside: everything that ``dkrepl.daemon.outside`` asks for, on virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkrepl.config.limits import Limits
from dkrepl.daemon.outside import Loop, Report
from dkrepl.io.store.calls import StoreCalls
from tests.simulation.device import Device
from tests.simulation.files import State, Store
from tests.simulation.listener import ControlPortSocket, SourceSockets
from tests.simulation.loop import Workers
from tests.simulation.sockets import TargetSockets
from tests.simulation.stall import StallWatch

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World


class Clock:
    """A machine's clocks, as ``Machine.clock`` says."""

    def __init__(self, process: Process) -> None:
        self.monotonic = process.machine.monotonic
        self.boot = process.machine.monotonic
        self._machine = process.machine

    def wall(self) -> float:
        return self._machine.clock().wall


class Randomness:
    """Numbers of the seed."""

    def __init__(self, world: World) -> None:
        self._rng = world.rng

    def session(self) -> int:
        return int.from_bytes(self._bytes(8), "little") >> 1 | 1

    def identity(self) -> str:
        return self._bytes(8).hex()

    def mirror_id(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"

    def _bytes(self, count: int) -> bytes:
        return self._rng.getrandbits(8 * count).to_bytes(count, "big")


class Outside:
    """The outside of one process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.clock = Clock(process)
        self.randomness = Randomness(process.world)
        self.store = Store(process)
        self.state = State(process)

    def workers(self, loop: Loop) -> Workers:
        return Workers(self._process)

    def stall_watch(self, loop: Loop, calls: StoreCalls, report: Report) -> StallWatch:
        return StallWatch()

    def source_sockets(self, limits: Limits) -> SourceSockets:
        return SourceSockets(self._process, limits.copy_below_bytes)

    def target_sockets(self) -> TargetSockets:
        return TargetSockets(self._process)

    def control_port_socket(self) -> ControlPortSocket:
        return ControlPortSocket(self._process)

    def device(self, limits: Limits) -> Device:
        return Device(self._process)

    def abandon_device(self) -> None:
        return  # the cluster sees to the application when the role is recorded

    def is_restart(self) -> bool:
        return False

    def figures(self) -> tuple[None, None]:
        return None, None
