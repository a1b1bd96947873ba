"""``resume``: copy to paused targets again."""

from __future__ import annotations

from dkrepl.api.requests import Resume
from dkrepl.daemon.control.desk import Desk
from dkrepl.daemon.control.reply import Reply


def carry_out(desk: Desk, request: Resume, reply: Reply) -> None:
    """Let the targets enter the stream again, and answer once that is recorded."""
    desk.each_target(reply, request.targets, lambda runtime, name, now: runtime.source.targets.resume(name, now))
