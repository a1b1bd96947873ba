"""One seed, from its settings to its verdict."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field

from tests.simulation.cluster import Cluster
from tests.simulation.faults import Faults
from tests.simulation.schedule import Fault
from tests.simulation.world import START, RuleBroken

ANSWER_WITHIN = 40.0  # seconds: silence, a stall, a failing commit, one after the other
IN_SYNC_WITHIN = 60.0  # seconds after the last fault


@dataclass
class Result:
    """``failure`` is None if every rule held; ``faults`` are those that struck before the end."""

    seed: int
    failure: RuleBroken | None
    trace: list[str]
    counters: dict[str, int] = field(default_factory=dict)
    events: int = 0
    faults: list[Fault] = field(default_factory=list)
    only: frozenset[int] | None = None
    vary: int = 0


def simulate(seed: int, only: frozenset[int] | None = None, vary: int = 0) -> Result:
    """Run a seed; with ``only`` these of its faults, by their numbers; ``vary`` gives another order of events."""
    cluster = Cluster(seed, vary)
    world = cluster.world
    faults = Faults(cluster, only)
    failure: RuleBroken | None = None
    try:
        _run(cluster, faults)
    except RuleBroken as broken:
        failure = broken
    except OverflowError as error:
        failure = RuleBroken("R5", f"{error}")
    except Exception:
        failure = RuleBroken("no exception", traceback.format_exc())
    return Result(seed, failure, list(world.trace), world.counters, world.events, faults.struck, only, vary)


def _run(cluster: Cluster, faults: Faults) -> None:
    world, application = cluster.world, cluster.application
    cluster.start()
    faults.start()
    _watch_answers(cluster)
    end = START + cluster.settings.seconds
    world.run_until(end)
    faults.stop()
    world.run_until(end + 2.0)
    application.running = False
    if not world.run_until(end + IN_SYNC_WITHIN, lambda: _settled(cluster)):
        raise RuleBroken("liveness", f"{IN_SYNC_WITHIN:g} s after the last fault: {_describe(cluster)}")
    _equal(cluster)


def _watch_answers(cluster: Cluster) -> None:
    """Liveness: every request gets its answer within a bounded time."""
    world = cluster.world

    def look() -> None:
        world.after(0.5, look)
        for unique, asked in cluster.application.asked.items():
            if world.now - asked.at > ANSWER_WITHIN:
                raise RuleBroken("liveness", f"request {unique} has no answer after {ANSWER_WITHIN:g} s")

    world.after(0.5, look)


def _settled(cluster: Cluster) -> bool:
    process = cluster.source
    if process is None or cluster.application.asked or cluster.commands or len(cluster.sources) > 1:
        return False
    source = process.runtime.source
    return all(
        view.state == "InSync" and view.durable == source.stream.log.seq and not view.bitmap.any()
        for view in source.views.values()
    )


def _describe(cluster: Cluster) -> str:
    process = cluster.source
    if process is None:
        return "no node is source"
    source = process.runtime.source
    views = [
        f"{view.name} {view.state} ({view.reason}), dirty {view.bitmap.count()}, durable {view.durable}"
        for view in source.views.values()
    ]
    return "; ".join(views) + f"; seq {source.stream.log.seq}, requests {sorted(cluster.application.asked)}"


def _equal(cluster: Cluster) -> None:
    process = cluster.source
    assert process is not None
    content = process.machine.disk.store.cache
    for name, view in process.runtime.source.views.items():
        if view.state == "InSync" and cluster.machines[name].disk.store.cache != content:
            raise RuleBroken("R10", f"{name} is InSync and quiet, and its store is not the source's")
