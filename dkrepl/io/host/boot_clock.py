"""Seconds since the machine was booted, those in which it was suspended among them: CLOCK_BOOTTIME of clock_gettime(2).

For what other machines rely on meanwhile, as votes: their time goes on while this machine sleeps.
"""

from __future__ import annotations

import time


def boot_seconds() -> float:
    """Return the time since the boot, in seconds."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
