"""What a source says to its targets now and then: that it lives, how far they are, and how far the others are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from dkrepl.config.description import Description
from dkrepl.config.limits import Limits
from dkrepl.core.actions import SourceAction
from dkrepl.core.outbox import Outbox
from dkrepl.core.protocol.messages import Alive, Positions
from dkrepl.core.source.lag import LagClock, lag_of
from dkrepl.core.source.member import Member
from dkrepl.core.source.new_generation import NewGeneration
from dkrepl.core.source.record import SourceRecord
from dkrepl.core.source.stream import Stream
from dkrepl.core.source.target_view import TargetView
from dkrepl.core.source.targets import Targets
from dkrepl.core.source.write_log import WriteLog


class Heartbeat:
    """Sends what is due, and what a part of the source wants sent at once. ``wall``: Unix time at the start."""

    def __init__(
        self,
        *,
        description: Description,
        session: int,
        record: SourceRecord,
        targets: Targets,
        stream: Stream,
        new_generation: NewGeneration,
        lag: LagClock,
        out: Outbox[SourceAction],
        wall: float,
        limits: Limits,
    ) -> None:
        self._description = description
        self._session = session
        self._record = record
        self._views = targets.views
        self._stream = stream
        self._new_generation = new_generation
        self._lag = lag
        self._out = out
        self._limits = limits
        self._wall = wall  # of the newest tick; sent, and never reckoned with
        self._stalled = 0.0  # seconds for which the own store had been stalled at the newest tick
        self._beat_at = self._positions_at = 0.0

    def tick(self, now: float, *, wall: float, stalled: float) -> None:
        """Let time pass: send what is due. ``wall``, ``stalled``: as for ``Source.tick``."""
        self._wall, self._stalled = wall, stalled
        if now >= self._beat_at:
            self._beat_at = now + self._description.peer_timeout / 5
            for view in self._views.values():
                if view.member is not None:
                    view.member.positions_sent = {}  # sent again: a target that is recording something ignores it
                if view.state != "Disconnected":
                    self.send(view, now)
        if now >= self._positions_at:
            self._positions_at = now + self._limits.positions_seconds
            self.send_positions()

    def send(self, view: TargetView, now: float) -> None:
        """Send a heartbeat to one target."""
        clocks = {"wall": self._wall, "now": now, "stalled": self._stalled}
        said = alive(view, self._session, self._description, self._stream.log, self._lag, **clocks)
        self._out.send(view.name, msgspec.structs.replace(said, former=bool(self._record.metadata.former)))

    def send_positions(self) -> None:
        """Tell each target that is in sync how far the others are (R8: what survivors would have to copy)."""
        for name, message in positions(self._stream.members, self._new_generation.current):
            self._out.send(name, message)


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
