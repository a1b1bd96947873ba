"""``demote``: make this source a target."""

from __future__ import annotations

from dkrepl.core.node import Demotion
from dkrepl.daemon.control.desk import Desk
from dkrepl.daemon.control.reply import Reply


def carry_out(desk: Desk, reply: Reply) -> None:
    """Begin to change the role, unless the device is in use."""
    desk.if_unused(reply, desk.source("be demoted"), lambda: desk.change_role(reply, Demotion()))
