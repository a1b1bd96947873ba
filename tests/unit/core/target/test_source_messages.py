"""What a target makes of the heartbeats of its source (R13)."""

from __future__ import annotations

from dkrepl.core.actions import Event
from dkrepl.core.protocol.messages import Alive
from tests.unit.core.target.beta import EPOCH, SESSION, Beta


def heard(*stalled: float) -> Beta:
    """Return beta, in sync, which has heard heartbeats of a store that has been stalled for so long."""
    beta = Beta()
    beta.get_in_sync()
    for seconds in stalled:
        beta.say(Alive(epoch=EPOCH, session=SESSION, at=1000.0, stalled=seconds))
    return beta


def test_when_the_source_was_last_heard_is_said_of_the_copy() -> None:
    beta = heard(0.0)
    assert beta.core.copy(beta.now).heard_at == 1000.0


def test_for_how_long_the_sources_store_has_been_stalled_is_known() -> None:
    beta = heard(3.0)
    assert beta.core.following.source.stall.seconds(beta.now) == 3.0


def test_a_store_of_the_source_that_stalls_is_reported_and_that_it_moves_again() -> None:
    events = [(event.name, event.level) for event in heard(0.0, 3.0, 4.0, 0.0).asked_for(Event)]
    assert [event for event in events if event[0].startswith("store_")] == [
        ("store_stalled", "warning"),
        ("store_moves_again", "info"),
    ]
