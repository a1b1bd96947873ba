"""What a source knows of one target in every state; what is valid in one state only has an object of its own."""

from __future__ import annotations

from dataclasses import dataclass

from dkrepl.core.source.member import Member
from dkrepl.core.source.rate_limit import RateLimit
from dkrepl.core.source.resync_state import Resync
from dkrepl.core.source.target_settings import TargetSettings
from dkrepl.core.stall import Stall
from dkrepl.core.states import IN_STREAM, SEEN_BY_SOURCE, Machine, TargetState


@dataclass
class Entry:
    """How far a target that is Connecting is on its way into the stream. Times are monotonic seconds.

    ``probe_wait``: until the probe is repeated; 0 while none is to be sent. ``bits_received``: dirty blocks that the
    target has named in this epoch as its own.
    """

    deadline: float
    probe_at: float = 0.0
    probe_wait: float = 0.0
    bits_received: int = 0


class TargetView:
    """One target, in or out of the stream. ``store_timeout``: seconds for which its store may stand still.

    ``rate``: bytes a second that a resync may copy; 0: any.
    """

    def __init__(self, settings: TargetSettings, *, store_timeout: float = 30.0, rate: int = 0) -> None:
        self.settings = settings
        self.name = settings.name
        self.mode = settings.mode
        self.on_full = settings.on_full
        self.bitmap = settings.bitmap
        self.machine = Machine(settings.name, SEEN_BY_SOURCE)
        self.reason: str | None = None
        self.epoch = 0
        self.heard = 0.0  # when something came from it
        self.stall = Stall(store_timeout)
        self.entry: Entry | None = None
        self.member: Member | None = None
        self.dropped_at: float | None = None  # when it left the stream; None: it has everything, or never had
        self.retry = 0.0  # seconds of the last pause before it may come back
        self.bitmaps_lost = 0  # epochs in a row in which parts of its bitmap were lost
        self.advisory_differs = False  # its description differs in something that need not be equal
        self.rate_limit = RateLimit(rate)
        self.resent_bytes = 0
        self.last_resync: dict[str, object] | None = None

    @property
    def state(self) -> TargetState:
        """Its state, as the source sees it."""
        return self.machine.state

    @property
    def in_stream(self) -> bool:
        """Whether live writes are published to it."""
        return self.machine.state in IN_STREAM

    @property
    def applied(self) -> int:
        """The newest seq that it has confirmed as applied; 0 outside the stream."""
        return self.member.applied if self.member is not None else 0

    @property
    def durable(self) -> int:
        """The newest seq that it has confirmed as durable; 0 outside the stream."""
        return self.member.durable if self.member is not None else 0

    @property
    def resync(self) -> Resync | None:
        """The resync that is under way."""
        return self.member.resync if self.member is not None else None
