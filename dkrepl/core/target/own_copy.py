"""What a target says of its copy to a peer that asks, by which a promotion is judged (R4, R6, R11)."""

from __future__ import annotations

from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol.messages import Copy
from dkrepl.core.target.following import Following
from dkrepl.core.target.last_heard import LastHeard


def own_copy(mode: str, metadata: NodeMetadata, following: Following, heard: LastHeard, now: float) -> Copy:
    """Return it; ``mode``: of this node in its description; ``now``: monotonic seconds."""
    heard.advance(following.applied)
    return Copy(
        mode=mode,
        state=following.state,
        store_state=metadata.store_state,
        follows=metadata.follows,
        hears=following.source.hears(now),
        in_sync_when_lost=following.in_sync_when_lost or following.state == "InSync" or following.unanswered_break,
        in_sync_as_of=heard.as_of or None,
        heard_at=heard.at or None,
        session=heard.session,
        applied=following.applied if heard.session else 0,
        applied_bytes=heard.applied_bytes,
        head_bytes=heard.head_bytes,
        missing_bytes=heard.missing_bytes,
        last_mode=metadata.last_mode,
        power_lost=metadata.power_lost,
    )
