"""How a resync ends: with the SYNCED marker, once everything is sent, and with what is told of it afterwards."""

from __future__ import annotations

from dkrepl.core.source.member import Member
from dkrepl.core.source.resync import Resync


def finish(member: Member, generation: str) -> bool:
    """Whether the SYNCED marker, which names ``generation``, is to be published now: nothing is left to be sent."""
    resync = member.resync
    if resync is None or not resync.all_sent or resync.finishing:
        return False
    resync.rseq += 1
    resync.finishing = resync.rseq
    member.synced_as = generation
    return True


def summary(resync: Resync, block: int, now: float) -> dict[str, object]:
    """Return what status tells of a resync that has ended; ``block`` in bytes."""
    return {
        "kind": resync.kind,
        "seconds": round(now - resync.started, 3),
        "copied_bytes": resync.total * block,
        "sent_bytes": resync.sent_bytes,
    }
