"""Rules R4, R11: which copies a source may count when it answers, and whether it may serve without asking others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dkrepl.config.description import Description
    from dkrepl.core.election.arbitration import Arbitration
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


def served_alone(description: Description, arbitration: Arbitration) -> bool:
    """Whether a former source serves because ``start_alone`` has passed: peers were silent, or did not vote for it."""
    alone = description.start_alone
    return alone is not None and (bool(arbitration.missing) or arbitration.reason.endswith(f" within {alone:g} s"))
