"""Figures as status shows them."""

from __future__ import annotations

from dkrepl.api.status import Resync


def rounded(seconds: float | None) -> float | None:
    """Return seconds as status shows them; None: not known."""
    return None if seconds is None else round(seconds, 1)


def resync_of(*, kind: str, percent: float, done: int, total: int, rate: float, eta: float | None) -> Resync:
    """Return a resync in progress: ``done``, ``total`` in bytes, ``rate`` in bytes per second, ``eta`` in seconds."""
    return Resync(
        kind=kind,
        percent=round(percent, 2),
        done_bytes=done,
        total_bytes=total,
        rate_bytes_per_second=round(rate),
        eta_seconds=None if eta is None else round(eta, 1),
    )
