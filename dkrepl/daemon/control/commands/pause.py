"""``pause``: stop copying to targets."""

from __future__ import annotations

from dkrepl.api.requests import Pause
from dkrepl.daemon.control.desk import Desk
from dkrepl.daemon.control.reply import Reply


def carry_out(desk: Desk, request: Pause, reply: Reply) -> None:
    """Keep the targets out of the stream until ``resume``, and answer once that is recorded."""
    desk.each_target(reply, request.targets, lambda runtime, name, now: runtime.source.targets.pause(name, now))
