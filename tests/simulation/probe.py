"""Rule R1 asked at any moment: if the source lost its power now, would its intent log name every difference?"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from dkrepl.core.lineage.peer_records import record_of
from dkrepl.daemon.intent_store import IntentStore
from tests.simulation.copies import unnamed
from tests.simulation.files import State, Store
from tests.simulation.world import RuleBroken

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.process import Process


def what_if_power_were_lost(cluster: Cluster, process: Process) -> None:
    """Cut the power of a copy of a source's disk, open the intent log on it, and compare every target."""
    if process.machine.went_back:
        return
    disk = process.machine.disk.copy()
    disk.lose_power(cluster.world.rng)
    damaged: list[str] = []

    def report(name: str, level: str, fields: dict[str, Any]) -> None:
        bitmap = process.runtime.source.views[fields["target"]].bitmap if name == "bitmap_damaged" else None
        target = fields.get("target", "")
        # Bits change where no extent is active: all of it is to be copied anyway, or it takes up the target's own bits.
        written = target in process.machine.known.full_begun or not record_of(disk.metadata(), target).merged
        if bitmap is not None and bitmap.count() < bitmap.blocks and not written:
            damaged.append(str(fields))

    stand_in: Any = SimpleNamespace(
        machine=SimpleNamespace(disk=disk, full=()), io=lambda what: None, fails=lambda what: False, world=cluster.world
    )
    peers, store = list(process.runtime.source.views), Store(stand_in)
    opened = IntentStore(State(stand_in), disk.metadata(), peers, store, report, limits=cluster.settings.limits)
    if damaged and not process.machine.excused:
        raise RuleBroken("R8", f"after a power loss at {process.name} now: {damaged}")
    for name, file in opened.files.items():
        found = unnamed(disk.store.cache, file.bitmap, opened.metadata, cluster.machines[name].disk)
        if found:
            raise RuleBroken("R1", f"after a power loss at {process.name} now, {name}'s bitmap would not name {found}")
    cluster.world.count("power losses imagined")
