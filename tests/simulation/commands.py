"""What the administrator's commands answer, and whether that is true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dkrepl.core.states import STATES
from dkrepl.errors import DkreplError
from tests.simulation.operator import Done
from tests.simulation.world import RuleBroken

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.process import Process


def give(process: Process, what: str, arguments: dict[str, Any], then: Done = lambda _: None) -> None:
    """Give a command to a daemon; its answer is checked, then ``then`` has it."""
    cluster = process.cluster
    asked = cluster.world.now

    def done(answer: dict[str, Any] | DkreplError) -> None:
        failed = isinstance(answer, DkreplError)
        named = "dry run" if arguments.get("dry_run") else what
        cluster.world.note("admin", f"{named} at {process.name}: {answer if failed else 'done'}")
        cluster.world.count(f"{named} {'refused' if failed else 'done'}")
        if not isinstance(answer, DkreplError):
            _check(cluster, process, named, answer)
            if named == "resync":
                cluster.checks.verdicts.resync_promised(process.machine)
            if named == "dry run" and answer["safe"]:
                cluster.checks.has_every_answer(process.machine, "is called safe to promote", asked)
        then(answer)

    process.command(what, arguments, done)


def _check(cluster: Cluster, process: Process, what: str, answer: dict[str, Any]) -> None:
    if what == "verify":
        for target in answer["targets"]:
            machine = cluster.machines[target["name"]]
            spoiled = process.machine.store_failed or machine.store_failed or machine.tainted == machine.joined
            if not target["equal"] and not spoiled:
                raise RuleBroken("R10", f"verify finds {target['ranges']} of {machine.name} different, which is InSync")
    if what == "status":
        states = [answer["state"], *(target["state"] for target in answer.get("targets", ()))]
        unknown = [state for state in states if state not in (*STATES, "Starting", "Serving", "Stopping")]
        if unknown:
            raise RuleBroken("R10", f"{process.name} shows a state that is none: {unknown}")
        for target in answer.get("targets", ()):
            resync = target.get("resync")
            if resync and not 0.0 <= resync["percent"] <= 100.0:
                raise RuleBroken("R10", f"{process.name} shows a progress of {resync['percent']} %")
