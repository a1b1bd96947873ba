"""Changes of roles: the administrator's commands, given at any moment, and what he does when the faults are over."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any

from dkrepl.daemon.peers.arbitration_runtime import ArbitrationRuntime
from dkrepl.errors import DkreplError
from tests.simulation.commands import give

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.machine import Machine
    from tests.simulation.process import Process

_TRY_AGAIN = 0.7  # seconds after which a refused promotion is asked for again
_ATTEMPTS = 6
_PATIENCE = 8  # rounds of ``settle`` after which what a node alone has is given up
_SENSIBLE = 0.8  # of the switchovers: to a target that is in sync, if there is one
_ALSO_CUT = 0.3  # of the lines of a node that is promoted beside a source that is cut off
FORCED = 0.2  # of the promotions after the source died, once they were refused often enough


def fail_over(cluster: Cluster, rng: random.Random) -> None:
    """The source dies; a target is promoted, as soon as it may be. The old source comes back, now or later."""
    source = cluster.source
    targets = [machine for machine in cluster.machines.values() if source is None or machine.name != source.name]
    chosen = rng.choice(targets)
    if source is not None:
        source.machine.crash(rng.choice(("kill", "power")))
        cluster.world.after(rng.random() * 8.0, source.machine.start)
    force = rng.random() < FORCED
    cluster.world.after(rng.random() * 2.0, lambda: _insist(cluster, chosen, force, _ATTEMPTS))


def _insist(cluster: Cluster, machine: Machine, force: bool, attempts: int) -> None:
    def done(answer: dict[str, Any] | DkreplError) -> None:
        if isinstance(answer, DkreplError) and attempts > 1:
            cluster.world.after(_TRY_AGAIN, lambda: _insist(cluster, machine, force, attempts - 1))

    promote(machine, force and attempts == 1, done)


def promote(machine: Machine, force: bool, then: Any = lambda _: None) -> None:
    """``dkrepl promote`` at a machine, if a daemon runs there; by force with the token of a dry run."""
    force = force and bool(machine.disk.metadata().mirror_id)  # else it would begin a mirror of its own

    def done(answer: dict[str, Any] | DkreplError) -> None:
        if not isinstance(answer, DkreplError):
            machine.cluster.official = machine.name
        elif force:
            machine.forced = False
        then(answer)

    def looked(answer: dict[str, Any] | DkreplError) -> None:
        if machine.process is not None and not isinstance(answer, DkreplError):
            machine.forced = True
            give(machine.process, "promote", {"force": answer["token"]}, done)
        else:
            then(answer)

    if machine.process is None:
        return
    if force:
        give(machine.process, "promote", {"dry_run": True}, looked)
    else:
        give(machine.process, "promote", {}, done)


def cut_off(cluster: Cluster, rng: random.Random) -> None:
    """The source is cut off but runs on, and a target is promoted; later the network heals, link by link."""
    source = cluster.source
    if source is None:
        return
    others = [name for name in cluster.machines if name != source.name]
    chosen = rng.choice(others)
    lines = [(source.name, other) for other in others] + [(chosen, other) for other in others if other != chosen]
    for one, other in lines:
        wires = cluster.switch.wires(one, other)
        begins = 0.0 if one == source.name else 2.0 + rng.random() * 4.0
        if one == source.name or rng.random() < _ALSO_CUT:
            cluster.world.after(begins, partial(wires.cut.update, [(one, other), (other, one)]))
            cluster.world.after(begins + 2.0 + rng.random() * 8.0, wires.heal)
    cluster.world.note("network", f"{source.name} is cut off, {chosen} is promoted")
    cluster.world.after(1.0 + rng.random(), lambda: _insist(cluster, cluster.machines[chosen], False, _ATTEMPTS))


def promote_at_any_time(cluster: Cluster, rng: random.Random) -> None:
    """A target is told to be source, whether there is another or not."""
    promote(rng.choice(list(cluster.machines.values())), rng.random() < 0.3)


def promote_two(cluster: Cluster, rng: random.Random) -> None:
    """The source dies or is demoted, and two administrators promote two different nodes at about the same time."""
    source = cluster.source
    if source is not None and rng.random() < 0.5:
        give(source, "demote", {})
    elif source is not None:
        source.machine.crash(rng.choice(("kill", "power")))
        cluster.world.after(rng.random() * 8.0, source.machine.start)
    at = rng.random() * 2.0
    for machine in rng.sample(list(cluster.machines.values()), 2):
        cluster.world.after(at + rng.random() * 0.5, partial(_insist, cluster, machine, False, _ATTEMPTS))


def switch_over(cluster: Cluster, rng: random.Random) -> None:
    """The source hands over to another node."""
    source, next_source = cluster.source, rng.choice(list(cluster.machines))
    if source is None:
        return
    ready = [name for name, view in source.runtime.source.views.items() if view.state == "InSync"]
    if ready and rng.random() < _SENSIBLE:
        next_source = rng.choice(ready)
    if next_source != source.name:
        give(source, "switchover", {"to": next_source})


def demote(cluster: Cluster, rng: random.Random) -> None:
    """A source is told to be target."""
    if cluster.sources:
        give(rng.choice(cluster.sources), "demote", {})


def resolve(cluster: Cluster, rng: random.Random) -> None:
    """A node is told to give way to another."""
    here, keep = rng.sample(list(cluster.machines.values()), 2)
    if here.process is not None:
        _give_way(here.process, keep.name, rng.random() < 0.2)


def settle(cluster: Cluster, attempt: int) -> None:
    """One look of the administrator, once the faults are over: one node is to be source, and the others follow it."""
    for machine in cluster.machines.values():
        machine.start()
    sources = cluster.sources
    if not sources:
        asking = [machine for machine in cluster.machines.values() if machine.disk.metadata().role == "source"]
        if not asking:
            promote(_newest(list(cluster.machines.values())), force=True)
        elif attempt > 2 and asking[0].process is not None:
            promote(asking[0], force=True)  # it waits for ever for one that was initialised anew
        return
    source = cluster.source
    assert source is not None
    cluster.official = source.name
    if any(_asks_to_demote(machine.process, source.name) for machine in cluster.machines.values()):
        give(source, "demote", {})
        return
    if source.runtime.source.metadata.store_failed:
        give(source, "clear", {"verdict": "store-failed"})
    for other in sources:
        if other is not source:
            _give_way(other, source.name, attempt > _PATIENCE)
    for name, view in source.runtime.source.views.items():
        process = cluster.machines[name].process
        if view.state == "Paused":
            give(source, "resume", {"targets": [name]})
        elif process is None:
            continue
        elif process.is_target:
            if view.state == "Refused" or _refuses(process, source.name):
                _give_way(process, source.name, attempt > _PATIENCE)
        elif _asks_to_give_way(process, source.name):
            _give_way(process, source.name, attempt > _PATIENCE)


def _asks_to_demote(process: Process | None, source: str) -> bool:
    """Whether a former source waits for an administrator to demote a source that was elected before it (R11)."""
    if process is None or not isinstance(process.runtime, ArbitrationRuntime):
        return False
    return f"demote {source}" in process.runtime.arbitration.reason


def _asks_to_give_way(process: Process, source: str) -> bool:
    """Whether a former source waits for an administrator to say that its data may be replaced (R11)."""
    if not isinstance(process.runtime, ArbitrationRuntime):
        return False
    return f"resolve --keep {source} on {process.machine.name}" in process.runtime.arbitration.reason


def _refuses(process: Process, source: str) -> bool:
    """Whether a target follows no source of so old an election as this one: it was elected itself, or has followed
    another, since, and nothing but an administrator's word ends that (R11). A vote ends by itself."""
    target = process.runtime.target
    metadata = target.metadata
    bound = not metadata.promised and metadata.ballot.node != source
    return target.following.source.refusal == "Elected" and target.state == "Refused" and bound


def _give_way(process: Process, keep: str, discard: bool) -> None:
    if discard:
        process.machine.discards = True
    give(process, "resolve", {"keep": keep, "discard": discard})


def _newest(machines: list[Machine]) -> Machine:
    """One whose generation no other's history has; with a consistent copy, if there is such a one."""
    records = {machine.name: machine.disk.metadata() for machine in machines}
    old = {generation for record in records.values() for generation in record.history}
    return max(
        machines,
        key=lambda machine: (
            bool(records[machine.name].mirror_id),
            records[machine.name].store_state == "Consistent",
            records[machine.name].generation not in old,
        ),
    )
