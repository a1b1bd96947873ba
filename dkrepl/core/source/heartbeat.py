"""What a source says to its targets now and then: that it lives, how far they are, and how far the others are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dkrepl.config.description import Description
from dkrepl.core.protocol.messages import Alive, Positions
from dkrepl.core.source.lag import LagClock, lag_of
from dkrepl.core.source.member import Member
from dkrepl.core.source.target_view import TargetView
from dkrepl.core.source.write_log import WriteLog


def alive(
    view: TargetView,
    session: int,
    description: Description,
    log: WriteLog,
    clock: LagClock,
    *,
    wall: float,
    now: float,
    stalled: float,
) -> Alive:
    """Return the heartbeat to ``view``; ``wall``: Unix seconds, ``now``: monotonic ones.

    ``stalled``: seconds for which the source's own store has stood still.
    """
    resync, block = view.resync, description.block
    dirty = 0 if view.state == "InSync" else min(view.bitmap.count() * block, description.size)
    seconds, missing = lag_of(view, log, clock, dirty, now)
    return Alive(
        epoch=view.epoch,
        session=session,
        state=view.state,
        dirty_bytes=(resync.total - resync.done) * block if resync else 0,
        total_bytes=resync.total * block if resync else 0,
        rate=resync.rate(now) if resync else 0.0,
        at=wall,
        seq=log.seq,
        written=log.written,
        lag_bytes=missing,
        lag_seconds=seconds,
        stalled=stalled,
    )


def positions(members: Sequence[Member], generation: str) -> Iterator[tuple[str, Positions]]:
    """Yield, for each target in sync for which it has changed, how far the others in sync are durable (R8)."""
    in_sync = [member for member in members if member.in_sync_at is not None]
    durable = {member.name: (member.epoch, member.durable, member.mode == "sync") for member in in_sync}
    for member in in_sync:
        others = {name: at for name, at in durable.items() if name != member.name}
        if others and others != member.positions_sent:
            member.positions_sent = others
            yield member.name, Positions(member.epoch, generation, others)
