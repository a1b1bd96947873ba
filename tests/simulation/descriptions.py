"""The administrator edits the description file, on some machines at first, and restarts daemons in any order."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from dkrepl.config.description import Description
from tests.simulation.settings import with_copies

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

Later = Callable[[float, Callable[[], None]], None]


def edit(cluster: Cluster, rng: random.Random, later: Later) -> None:
    """Change something: on a few machines or on all of them, and restart the daemons of some, some of them later."""
    cluster.description = new = _changed(cluster, rng)
    machines = list(cluster.machines.values())
    cluster.world.note("admin", f"describes {[(n.name, n.mode) for n in new.nodes]}, min_copies {new.min_copies}")
    for machine in rng.sample(machines, rng.randrange(1, len(machines) + 1)):
        machine.described = new
        if rng.random() < 0.7:
            later(3.0, partial(_restart, cluster, machine.name))


def make_equal(cluster: Cluster) -> None:
    """The same file everywhere; what runs with an older one is restarted."""
    for machine in cluster.machines.values():
        machine.described = cluster.description
        if machine.process is not None and machine.process.description != cluster.description:
            machine.crash("kill")


def _restart(cluster: Cluster, name: str) -> None:
    machine = cluster.machines[name]
    if cluster.settings.never_waits and machine.disk.metadata().role == "source":
        return  # it is spared: nothing but a target may delay the application
    machine.crash("kill")
    cluster.world.after(0.1, machine.start)


def _changed(cluster: Cluster, rng: random.Random) -> Description:
    description = cluster.description
    nodes = list(description.nodes)
    what = rng.choice(("order", "mode", "copies"))
    if what == "order" or cluster.settings.never_waits:
        rng.shuffle(nodes)
        return msgspec.structs.replace(description, nodes=tuple(nodes))
    if what == "mode":
        at = rng.randrange(len(nodes))
        nodes[at] = msgspec.structs.replace(nodes[at], mode="async" if nodes[at].mode == "sync" else "sync")
        description = msgspec.structs.replace(description, nodes=tuple(nodes))
    return with_copies(rng, description)
