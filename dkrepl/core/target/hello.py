"""What a target says to join, and when it says it again: soon after it left a stream, then more and more rarely."""

from __future__ import annotations

from dkrepl.config.terms import Terms
from dkrepl.core.lineage import peer_records
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol.messages import PROTOCOL_MAX, PROTOCOL_MIN, Hello

_FIRST, _LAST = 0.1, 2.0  # seconds between Hellos
_SOON_LAST, _SOON = 0.2, 3.0  # at most so long between two while the source may be restarting, which takes seconds
ASK_AGAIN = 2.0  # seconds between Hellos while paused or refused
AT_ONCE = _FIRST  # seconds before the first Hello after a source went away


class HelloTimer:
    """Times are monotonic seconds."""

    def __init__(self) -> None:
        self._at = 0.0
        self._wait = _FIRST
        self._left_at = -_SOON  # when it left a stream

    def due(self, now: float) -> bool:
        """Whether a Hello is due."""
        return now >= self._at

    def left(self, now: float) -> None:
        """It left a stream: the source may be back in a moment."""
        self._left_at = now

    def restart(self, at: float) -> None:
        """Begin anew: the first Hello is due at ``at``."""
        self._wait, self._at = _FIRST, at

    def due_at(self, at: float) -> None:
        """The next Hello is due at ``at``; the pauses after it stay as they are."""
        self._at = at

    def postpone(self, until: float) -> None:
        """The next Hello is due no sooner than ``until``."""
        self._at = max(self._at, until)

    def entered(self) -> None:
        """It is in sync: the next pauses are short again."""
        self._wait = _FIRST

    def said(self, now: float, waiting: bool) -> None:
        """A Hello was said; ``waiting``: this node is paused or refused, so no hurry."""
        if waiting:
            self._at = now + ASK_AGAIN
            return
        self._at = now + self._wait
        longest = _SOON_LAST if now - self._left_at < _SOON else _LAST
        self._wait = min(longest, self._wait * 2)


def hello_of(
    metadata: NodeMetadata, peer: str, marks: int, software: str, terms: Terms | None = None, advisory: str = ""
) -> Hello:
    """Return what a node says to ``peer`` to join; ``marks``: blocks that its bitmap for that peer names.

    ``terms``, ``advisory``: of its description (config/terms.py).
    """
    record = peer_records.record_of(metadata, peer)
    return Hello(
        PROTOCOL_MIN,
        PROTOCOL_MAX,
        metadata.mirror,
        metadata.mirror_id,
        metadata.node,
        metadata.size,
        metadata.block,
        metadata.generation,
        list(metadata.history),
        metadata.store_state,
        metadata.epoch,
        software,
        metadata.follows,
        list(record.base),
        record.tracked,
        marks,
        record.epoch,
        metadata.yields if metadata.yields_to == peer else "",
        terms or {},
        advisory,
    )
