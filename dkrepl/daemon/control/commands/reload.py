"""``reload``: take up new keys of the peers."""

from __future__ import annotations

from dkrepl.api.answers import Reloaded
from dkrepl.daemon.control.desk import Desk
from dkrepl.daemon.control.reply import Reply


def carry_out(desk: Desk, reply: Reply) -> None:
    """Read the keys in the description, and let go of connections by keys that are no longer there."""

    def read(_: None) -> None:
        desk.runtime.renew_keys()
        desk.events.report("keys_reloaded")
        reply.done(Reloaded(desk.mirror, desk.node))

    desk.in_worker(reply, desk.read_keys, read)
