"""``switchover``: hand the mirror over to a target that has everything."""

from __future__ import annotations

from dkrepl.api.requests import Switchover
from dkrepl.core.node import HandingOver
from dkrepl.daemon.control.desk import Desk
from dkrepl.daemon.control.reply import Reply
from dkrepl.errors import Refused


def carry_out(desk: Desk, request: Switchover, reply: Reply) -> None:
    """Begin to hand over, unless the device is in use; the caller looks at what becomes of it."""
    runtime = desk.source("hand the mirror over")
    [to] = desk.targets(runtime, (request.to,))
    view = runtime.source.views[to]
    if view.state != "InSync":
        raise Refused(
            f"{to} is {view.state} and may lack writes; wait until it is InSync (dkrepl wait insync {desk.mirror} {to})"
        )
    desk.if_unused(reply, runtime, lambda: desk.change_role(reply, HandingOver(to)))
