"""Waits until a node has the role that it was told to take: the daemon answers before it has changed over."""

from __future__ import annotations

import time

from dkrepl.api.status import SourceStatus
from dkrepl.cli.context import Session
from dkrepl.errors import DaemonNotRunning, TimedOut

PATIENCE = 30.0
"""Seconds that a change of role may take: flush, detach, start again in the new role."""
INTERVAL = 0.1
"""Seconds between two polls."""


def wait_for_role(session: Session, mirror: str, role: str) -> str | None:
    """Return the device once the node has the role (a source: once it serves); raises TimedOut after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            status = session.status(mirror)
        except (DaemonNotRunning, TimedOut) as error:
            seen = str(error)
        else:
            if status.role == role and (role != "source" or status.state == "Serving"):
                return status.device if isinstance(status, SourceStatus) else None
            seen = f"it is {status.role}, {status.state}"
        if time.monotonic() >= deadline:
            raise TimedOut(
                f"this node has not become {role} of mirror {mirror} within {PATIENCE:g} s ({seen}): "
                f"look at `journalctl -u dkrepl@{mirror}`"
            )
        time.sleep(INTERVAL)
