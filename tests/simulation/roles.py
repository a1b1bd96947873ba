"""Promotion: a target becomes source when the source is gone, as ``dkrepl promote`` and ``demote`` do it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.machine import Machine


def promote(cluster: Cluster, rng: random.Random) -> None:
    """The source dies; a target whose copy is consistent is promoted. The old source is demoted, now or later."""
    world = cluster.world
    able = [machine for machine in cluster.machines.values() if _may(machine)]
    if not able:
        return
    chosen = rng.choice(able)
    old = cluster.machines[cluster.official]
    old.crash(rng.choice(("kill", "power")))
    chosen.crash("kill")
    world.note("admin", f"promote {chosen.name}")
    world.count("promotions")
    cluster.checks.promoted(chosen)
    cluster.roles_changed = True
    cluster.official = chosen.name
    cluster.edit(chosen.name, role="source", store_state="Consistent")
    cluster.checks.forget_bitmaps(chosen)
    world.after(rng.random(), chosen.start)
    if rng.random() < 0.7:
        demote(cluster, old)
    world.after(rng.random() * 4.0, old.start)


def demote(cluster: Cluster, machine: Machine) -> None:
    """A source becomes a target; its daemon does not run meanwhile."""
    machine.crash("kill")
    cluster.world.note("admin", f"demote {machine.name}")
    cluster.edit(machine.name, role="target")
    cluster.application.source_is_no_more(machine.name)


def leave_one_source(cluster: Cluster) -> None:
    """Demote every source but one; if none is left, promote the node with the newest data; start whoever is down."""
    machines = cluster.machines
    sources = [machine for machine in machines.values() if machine.disk.metadata().role == "source"]
    if not sources:
        chosen = _newest(list(machines.values()))
        chosen.crash("kill")
        cluster.world.note("admin", f"promote {chosen.name}, for no node is source")
        cluster.roles_changed = chosen.excused_once = True
        cluster.edit(chosen.name, role="source", store_state="Consistent")
        cluster.checks.forget_bitmaps(chosen)
        sources = [chosen]
    if machines[cluster.official] not in sources:
        cluster.official = sources[0].name
    for machine in sources:
        if machine.name != cluster.official:
            demote(cluster, machine)
    for machine in machines.values():
        machine.start()


def _newest(machines: list[Machine]) -> Machine:
    """One whose generation no other's history has; with a consistent copy, if there is such a one."""
    records = {machine.name: machine.disk.metadata() for machine in machines}
    old = {generation for record in records.values() for generation in record.history}
    return max(
        machines,
        key=lambda machine: (
            records[machine.name].generation not in old,
            records[machine.name].store_state == "Consistent",
            bool(records[machine.name].mirror_id),
        ),
    )


def _may(machine: Machine) -> bool:
    record = machine.disk.metadata()
    return record.role == "target" and record.store_state == "Consistent" and bool(record.mirror_id)
