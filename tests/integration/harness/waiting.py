"""Waiting for a state: until a deadline, and with what was seen last if it never comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")
LONG = 60.0  # seconds; a machine may be slow, a state that never comes may not hold the tests up for ever


def wait_for(
    look: Callable[[], Seen], wanted: Callable[[Seen], object], what: str, seconds: float = LONG, pause: float = 0.03
) -> Seen:
    """Return what ``look`` gives once it is ``wanted``; fails with what was seen last."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if wanted(seen):
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}; seen last: {seen!r}")
        time.sleep(pause)
