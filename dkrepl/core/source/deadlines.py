"""When a source gives up on a target: silence, a store that stands still, a stream that does not reach it, no acks."""

from __future__ import annotations

from typing import NamedTuple

from dkrepl.config.description import Description
from dkrepl.config.limits import Limits
from dkrepl.core.source.target_view import TargetView


class Verdict(NamedTuple):
    """Why a target is given up. ``code``: with which it is evicted; "": it counts as disconnected."""

    code: str
    text: str


def verdict_on(view: TargetView, description: Description, seq: int, limits: Limits, now: float) -> Verdict | None:
    """Return why ``view`` leaves the stream, or the way into it, None if it may stay; ``seq``: the newest write."""
    if view.state in ("Disconnected", "Paused"):
        return None
    timeout, member = description.peer_timeout, view.member
    if now - view.heard > timeout:
        return Verdict("", f"nothing heard for {timeout:g} s")
    if view.stall.too_long(now) and (member is not None or view.entry is not None):
        text = f"its store has been stalled for more than {description.store_timeout:g} s; check its disk"
        return Verdict("StoreStalled", text)
    if view.stall.excused(now):
        return None  # it confirms nothing, and cannot (R13)
    if view.entry is not None and now > view.entry.deadline:
        return Verdict("NoProbe", "the stream does not reach it; check the data port")
    if member is not None and member.without_progress(seq, now) > limits.stall_timeouts * timeout:
        return Verdict("Stalled", "it confirms nothing; check its store")
    return None
