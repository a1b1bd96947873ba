"""Why the service manager stops this service: to start it again, or for good."""

from __future__ import annotations

import os
import subprocess

_SECONDS = 3.0


def is_restart() -> bool:
    """Whether systemd stops this unit within a restart job (systemctl(1), list-jobs).

    The unit's name comes from DKREPL_UNIT, which the unit file sets. False when that, or the answer, is missing.
    """
    unit = os.environ.get("DKREPL_UNIT")
    if not unit:
        return False
    try:
        command = ["systemctl", "list-jobs", "--no-legend", "--plain", unit]
        found = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return any(line.split()[1:3] == [unit, "restart"] for line in found.stdout.splitlines())
