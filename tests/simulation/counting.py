"""Rule R4: which copies a source may count when it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.device import Asked
    from tests.simulation.machine import Machine
    from tests.simulation.truth import Session


def counts(machine: Machine, asked: Asked, session: Session) -> bool:
    """Whether the copy of a target is sound; or was until after it had this, and its source cannot know better yet.

    A store may fail between the ack and the answer. Once the source has been told, that copy counts no more.
    """
    if machine.disk.metadata().store_state == "Consistent":
        return True
    member = asked.process.runtime.source.views[machine.name].member
    believed = member is not None and member.in_sync_at is not None and member.epoch == machine.joined[1]
    if machine.fell is None or not believed:
        return False
    origin, seq = machine.fell
    return origin == session.number and seq >= asked.seq
