"""``resync``: copy to targets what may differ, or everything."""

from __future__ import annotations

from dkrepl.api.requests import Resync
from dkrepl.daemon.control.desk import Desk
from dkrepl.daemon.control.reply import Reply


def carry_out(desk: Desk, request: Resync, reply: Reply) -> None:
    """Let the targets join anew, and answer once it is recorded what has to be copied."""
    full = request.full
    desk.each_target(reply, request.targets, lambda runtime, name, now: runtime.source.targets.resync(name, full, now))
