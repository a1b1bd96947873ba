"""What goes wrong: chosen at random moments, each undone after a while."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation import commands, descriptions, roles, schedule
from tests.simulation.machine import Machine
from tests.simulation.schedule import Fault

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster


_COMMANDS: tuple[tuple[str, dict[str, object]], ...] = (
    ("pause", {}),
    ("resume", {}),
    ("resync", {}),
    ("resync", {"full": True}),
    ("verify", {}),
    ("verify", {}),
    ("status", {}),
    ("intent", {}),
    ("promote", {"dry_run": True}),
)


def _naming(what: str, target: str) -> dict[str, object]:
    """Return the argument by which a command is about one target, if it has one."""
    named: dict[str, dict[str, object]] = {"intent": {"target": target}, "status": {}, "promote": {}}
    return named.get(what, {"targets": [target]})


WEIGHTS: dict[str, float] = {
    "kill": 4,
    "die in an operation": 6,
    "power": 3,
    "cut": 4,
    "reset": 4,
    "slow wires": 3,
    "damage": 2,
    "repeat": 2,
    "stick": 3,
    "slow machine": 2,
    "suspend": 3,
    "wall clock jumps": 1,
    "disk fails": 4,
    "disk is full": 3,
    "command": 5,
    "stop cleanly": 2,
    "edit the description": 2,
}
ROLES: dict[str, float] = {
    "fail over": 4,
    "cut off": 3,
    "promote": 2,
    "switch over": 5,
    "demote": 1,
    "resolve": 1,
    "promote two": 2,
}


class Faults:
    """Faults strike until ``stop``; with ``only``, these of them. ``struck`` are those that did."""

    def __init__(self, cluster: Cluster, only: frozenset[int] | None = None) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._rng = cluster.world.rng
        self._only = only
        self._striking = True
        self.struck: list[Fault] = []
        self._kinds: dict[str, Callable[[], None]] = {
            "kill": self._kill,
            "die in an operation": self._die_in_an_operation,
            "power": self._power,
            "cut": self._cut,
            "reset": self._reset,
            "slow wires": self._slow_wires,
            "damage": self._damage,
            "repeat": self._repeat,
            "stick": self._stick,
            "slow machine": self._slow_machine,
            "suspend": self._suspend,
            "wall clock jumps": self._wall_clock_jumps,
            "disk fails": self._disk_fails,
            "disk is full": self._disk_is_full,
            "command": self._command,
            "stop cleanly": self._stop_cleanly,
            "edit the description": lambda: descriptions.edit(cluster, self._rng, self._later),
            "fail over": lambda: roles.fail_over(cluster, self._rng),
            "cut off": lambda: roles.cut_off(cluster, self._rng),
            "promote": lambda: roles.promote_at_any_time(cluster, self._rng),
            "promote two": lambda: roles.promote_two(cluster, self._rng),
            "switch over": lambda: roles.switch_over(cluster, self._rng),
            "demote": lambda: roles.demote(cluster, self._rng),
            "resolve": lambda: roles.resolve(cluster, self._rng),
        }

    def start(self) -> None:
        settings = self._cluster.settings
        weights = WEIGHTS | (ROLES if settings.roles else {})
        rng = self._world.random("faults")
        for fault in schedule.draw(rng, weights, settings.calm, settings.seconds, ROLES):
            if self._only is None or fault.number in self._only:
                self._world.after(fault.at, partial(self._strike, fault))
        self._world.after(0.05, self._kernel)

    def stop(self) -> None:
        """No more faults: what is cut heals, who is down starts, who is paused is resumed."""
        cluster = self._cluster
        self._striking = False
        self._world.note("faults", "end")
        for _, wires in cluster.switch.all_wires():
            wires.delay, wires.rate, wires.corrupt, wires.repeat, wires.twice = 0.0005, 0.0, 0.0, 0.0, 0.0
            wires.heal()
        cluster.hwm = max(cluster.hwm, 40)  # above the windows, as in fact: else the end of a resync may never pass
        for machine in cluster.machines.values():
            machine.disk_faults.clear()
            machine.full.clear()
            machine.stuck, machine.slow = False, 1.0
            machine.resume(noticed=True)
            if machine.process is not None:
                machine.process.die_never()
            if machine.store_failed:
                machine.crash("kill")  # after a failed flush the administrator looks at the store and starts anew
        descriptions.make_equal(cluster)
        self._settle(0)

    def _settle(self, attempt: int) -> None:
        self._world.after(2.0, lambda: self._settle(attempt + 1))
        roles.settle(self._cluster, attempt)

    def resume_all(self) -> None:
        """Resume every target that is paused."""
        source = self._cluster.source
        if source is None:
            self._world.after(0.2, self.resume_all)
            return
        for name, view in source.runtime.source.views.items():
            record = source.runtime.source.metadata.peers.get(name)
            if view.state == "Paused" or (record is not None and record.paused):
                commands.give(source, "resume", {"targets": [name]})

    # --- when ----------------------------------------------------------------------------------------

    def _strike(self, fault: Fault) -> None:
        if not self._striking:
            return
        self.struck.append(fault)
        self._world.note("fault", f"{fault.number}: {fault.kind}")
        self._rng = self._world.random(f"fault {fault.number}")
        self._kinds[fault.kind]()

    def _kernel(self) -> None:
        """The kernel writes dirty pages back."""
        rng = self._world.rng
        self._world.after(rng.random() * 0.4, self._kernel)
        rng.choice(list(self._cluster.machines.values())).disk.write_back(rng)

    def _later(self, longest: float, undo: Callable[[], None]) -> None:
        def run() -> None:
            if self._striking:
                undo()

        self._world.after(self._rng.random() * longest, run)

    def _machine(self) -> Machine:
        machines = list(self._cluster.machines.values())
        if self._cluster.settings.never_waits:
            return self._rng.choice(machines[1:])
        return machines[0] if self._rng.random() < 0.35 else self._rng.choice(machines)

    # --- processes and machines ----------------------------------------------------------------------

    def _kill(self) -> None:
        machine = self._machine()
        machine.crash("kill")
        self._later(3.0, machine.start)

    def _power(self) -> None:
        machine = self._machine()
        machine.crash("power")
        if self._rng.random() < 0.2:
            self._spoil(machine)
        self._later(4.0, machine.start)

    def _spoil(self, machine: Machine) -> None:
        """The power loss took more than it may: a bit of the intent log is flipped, or a file is missing."""
        disk = machine.disk
        images = disk.images()[1:]
        if not images or machine.process is not None:
            return
        machine.excused = disk.spoiled = True  # a full resync is the right thing now
        image = self._rng.choice(images)
        self._world.note(machine.name, "its intent log is damaged")
        if self._rng.random() < 0.3:
            if image is disk.active:
                disk.active = None
            else:
                disk.bitmaps.pop(self._rng.choice(sorted(disk.bitmaps)))
            return
        at = self._rng.randrange(len(image.cache))
        image.cache[at] ^= 1 << self._rng.randrange(8)
        image.durable[:] = image.cache

    def _die_in_an_operation(self) -> None:
        machine = self._machine()
        if machine.process is not None:
            machine.process.die_soon(self._rng.randrange(1, 25), self._rng.choice(("kill", "power")))
        self._later(4.0, machine.start)

    def _stop_cleanly(self) -> None:
        machine = self._machine()
        process = machine.process
        if process is not None:
            process.stop()
        self._later(4.0, machine.start)

    def _stick(self) -> None:
        machine = self._machine()
        self._world.note(machine.name, "is stuck")
        machine.stuck = machine.late = True

        def go_on() -> None:
            machine.stuck = False

        self._later(5.0, go_on)

    def _slow_machine(self) -> None:
        machine = self._machine()
        machine.slow = self._rng.choice((10.0, 50.0, 200.0))

        def go_on() -> None:
            machine.slow = 1.0

        self._later(5.0, go_on)

    def _suspend(self) -> None:
        """A virtual machine is suspended, and goes on as if nothing had been; or its clock has counted on."""
        machine = self._machine()
        noticed = self._rng.random() < 0.5
        self._world.note(machine.name, "is suspended")
        machine.suspend()
        machine.late = True
        self._later(8.0, lambda: machine.resume(noticed))

    def _wall_clock_jumps(self) -> None:
        machine = self._machine()
        machine.wall = self._rng.choice((-1e6, -3600.0, -1.0, 0.5, 3600.0, 1e6))
        self._world.note(machine.name, f"its wall clock jumps to {machine.wall:+g} s")

    def _disk_fails(self) -> None:
        machine = self._machine()
        kind = self._rng.choice(("write", "read", "sync", "active", "bitmap", "metadata"))
        machine.disk_faults[kind] = self._rng.choice((0.05, 0.5, 1.0))
        machine.errno = self._rng.choice((errno.EIO, errno.EIO, errno.ENOSPC))
        self._world.note(machine.name, f"its disk fails: {kind}")

        def mend() -> None:
            machine.disk_faults.pop(kind, None)

        self._later(2.0, mend)

    def _disk_is_full(self) -> None:
        machine = self._machine()
        what = self._rng.choice((("store",), ("state",), ("store", "state")))
        machine.full.update(what)
        self._world.note(machine.name, f"no space is left: {what}")
        self._later(4.0, machine.full.clear)

    # --- the network ---------------------------------------------------------------------------------

    def _cut(self) -> None:
        pairs = self._cluster.switch.all_wires()
        if not pairs:
            return
        (one, other), wires = self._rng.choice(pairs)
        ways = self._rng.choice(([(one, other), (other, one)], [(one, other)], [(other, one)]))
        wires.cut.update(ways)
        self._world.note("network", f"cut: {ways}")
        self._later(6.0, wires.heal)

    def _reset(self) -> None:
        connections = self._cluster.switch.connections
        if connections:
            connection = self._rng.choice(connections)
            self._world.note("network", f"reset between {connection.client.name} and {connection.server.name}")
            connection.reset()

    def _slow_wires(self) -> None:
        pairs = self._cluster.switch.all_wires()
        if pairs:
            pair, wires = self._rng.choice(pairs)
            wires.delay, wires.rate = self._rng.choice((0.005, 0.05, 0.5)), self._rng.choice((0.0, 3000.0))
            self._world.note("network", f"slow: {pair} {wires.delay} s, {wires.rate} B/s")

            def undo() -> None:
                wires.delay, wires.rate = 0.0005, 0.0

            self._later(6.0, undo)

    def _damage(self) -> None:
        for _, wires in self._cluster.switch.all_wires():
            wires.corrupt = self._rng.choice((0.0, 0.01, 0.1))

    def _repeat(self) -> None:
        for _, wires in self._cluster.switch.all_wires():
            wires.repeat = self._rng.choice((0.0, 0.02))
            wires.twice = self._rng.choice((0.0, 0.02))

    # --- the administrator ---------------------------------------------------------------------------

    def _command(self) -> None:
        """Any command that does not change roles, to any node; what is not for that node is refused."""
        machine, source = self._machine(), self._cluster.source
        process = source if source is not None and self._rng.random() < 0.8 else machine.process
        name = self._rng.choice(sorted(self._cluster.machines))
        what, arguments = self._rng.choice(_COMMANDS)
        if process is None:
            return
        if self._rng.random() < 0.7:
            arguments = arguments | _naming(what, name)
        self._world.note("admin", f"{what} {arguments} at {process.name}")
        commands.give(process, what, arguments)
        if what == "pause":
            self._later(3.0, self.resume_all)
