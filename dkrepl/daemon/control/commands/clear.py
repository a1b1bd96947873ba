"""``clear``: the administrator lifts a verdict on this node's copy (R15)."""

from __future__ import annotations

from typing import assert_never

from dkrepl.api.answers import Cleared
from dkrepl.api.requests import Clear
from dkrepl.daemon.control.desk import Desk
from dkrepl.daemon.control.reply import Reply


def carry_out(desk: Desk, request: Clear, reply: Reply) -> None:
    """Lift the verdict, and answer once that is recorded."""
    runtime, verdict = desk.source("clear a verdict"), request.verdict
    match verdict:
        case "store-failed":
            runtime.store.begin()
            commit = runtime.source.store_verdict.clear()
        case "forced-promotion":
            commit = runtime.source.clear_forced()
        case _:
            assert_never(verdict)

    def recorded() -> None:
        desk.events.report("verdict_cleared", "warning", {"verdict": verdict})
        reply.done(Cleared(desk.mirror, desk.node, verdict))

    desk.when_recorded(reply, commit, recorded)
