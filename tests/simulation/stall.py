"""Stores of a simulation never stand still, so nothing watches for it."""

from __future__ import annotations


class StallWatch:
    """In place of the daemon's thread."""

    excused = False
    loop_seconds = 0.0

    def start(self) -> None:
        """Begin to watch."""

    def stop(self) -> None:
        """Watch no more."""

    def renew_keys(self) -> None:
        """The peers' keys have changed."""

    def worker_seconds(self, now: float) -> float:
        """Return for how long a worker has waited for the store."""
        return 0.0
