"""What a target says to join, and when it says it again: soon after it left a stream, then more and more rarely."""

from __future__ import annotations

from dkrepl.config.limits import Limits
from dkrepl.config.terms import Terms
from dkrepl.core.lineage import peer_records
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol.messages import PROTOCOL_MAX, PROTOCOL_MIN, Hello


class HelloTimer:
    """Says when the next Hello is due. Times are monotonic seconds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._at = 0.0
        self._wait = limits.hello_first_seconds
        self._left_at = -limits.restart_seconds  # when it left a stream

    def due(self, now: float) -> bool:
        """Whether a Hello is due."""
        return now >= self._at

    def left(self, now: float) -> None:
        """It left a stream: the source may be back in a moment."""
        self._left_at = now

    def restart(self, at: float) -> None:
        """Begin anew: the first Hello is due at ``at``."""
        self._wait, self._at = self._limits.hello_first_seconds, at

    def due_at(self, at: float) -> None:
        """The next Hello is due at ``at``; the pauses after it stay as they are."""
        self._at = at

    def postpone(self, until: float) -> None:
        """The next Hello is due no sooner than ``until``."""
        self._at = max(self._at, until)

    def ask_again(self, now: float) -> None:
        """The next Hello is not urgent: this node is paused or refused."""
        self._at = now + self._limits.ask_again_seconds

    def entered(self) -> None:
        """It is in sync: the next pauses are short again."""
        self._wait = self._limits.hello_first_seconds

    def said(self, now: float, waiting: bool) -> None:
        """A Hello was said; ``waiting``: this node is paused or refused, so no hurry."""
        limits = self._limits
        if waiting:
            self._at = now + limits.ask_again_seconds
            return
        self._at = now + self._wait
        restarting = now - self._left_at < limits.restart_seconds
        longest = limits.hello_restart_seconds if restarting else limits.hello_last_seconds
        self._wait = min(longest, self._wait * 2)


def hello_of(
    metadata: NodeMetadata, peer: str, dirty_blocks: int, software: str, terms: Terms | None = None, advisory: str = ""
) -> Hello:
    """Return what a node says to ``peer`` to join; ``dirty_blocks``: how many that its bitmap for that peer names.

    ``terms``, ``advisory``: of its description (config/terms.py).
    """
    record = peer_records.record_of(metadata, peer)
    return Hello(
        protocol_min=PROTOCOL_MIN,
        protocol_max=PROTOCOL_MAX,
        mirror=metadata.mirror,
        mirror_id=metadata.mirror_id,
        node=metadata.node,
        size=metadata.size,
        block=metadata.block,
        generation=metadata.generation,
        history=list(metadata.history),
        store_state=metadata.store_state,
        epoch=metadata.epoch,
        software=software,
        follows=metadata.follows,
        base=list(record.base),
        tracked=record.tracked,
        dirty_blocks=dirty_blocks,
        peer_epoch=record.epoch,
        yields=metadata.yields if metadata.yields_to == peer else "",
        terms=terms or {},
        advisory=advisory,
    )
