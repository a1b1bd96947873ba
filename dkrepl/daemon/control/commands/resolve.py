"""``resolve``: give way to another node's data; what this node alone has may be replaced, and is saved before (R7)."""

from __future__ import annotations

from typing import Literal

from dkrepl.api.answers import RoleChange
from dkrepl.api.requests import Resolve
from dkrepl.core.node import GivingWay
from dkrepl.daemon.control.desk import Desk
from dkrepl.daemon.control.reply import Reply
from dkrepl.daemon.source.runtime import SourceRuntime
from dkrepl.daemon.target.runtime import TargetRuntime
from dkrepl.errors import NotFound, UsageError


def carry_out(desk: Desk, request: Resolve, reply: Reply) -> None:
    """Give way at once if this is a target, else by becoming one."""
    runtime, here, keep = desk.runtime, desk.node, request.keep
    if keep == here:
        raise UsageError(f"{here} is the node that this runs on; run it on the node that is to give way to {here}")
    if keep not in runtime.here.peers:
        raise NotFound(f"{keep} is not a node of {desk.mirror}")
    mode: Literal["keep", "discard"] = "discard" if request.discard else "keep"
    if isinstance(runtime, TargetRuntime):
        runtime.yield_to(keep, mode)
        reply.done(RoleChange(desk.mirror, here, "target", keep))
    elif isinstance(runtime, SourceRuntime):
        desk.if_unused(reply, runtime, lambda: desk.change_role(reply, GivingWay(keep, mode)))
    else:
        desk.change_role(reply, GivingWay(keep, mode))
