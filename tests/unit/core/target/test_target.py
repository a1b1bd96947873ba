"""A target on its way out of a stream, and into one: what must stay as it is then."""

from __future__ import annotations

from typing import Any

import pytest

from dkrepl.config.description import parse
from dkrepl.config.example import render_example
from dkrepl.config.terms import required
from dkrepl.core.actions import Commit, Connect, Event, SaveDiverged
from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.lineage.metadata import PeerRecord
from dkrepl.core.lineage.peer_records import record_of
from dkrepl.core.protocol.messages import Hello
from dkrepl.core.target.target import Target
from tests.unit.bitmaps import bitmap_of
from tests.unit.greetings import welcome
from tests.unit.records import MemoryStore, record

DESCRIPTION = parse(render_example(), "r0", {})
BLOCKS, PER_EXTENT = DESCRIPTION.size // DESCRIPTION.block, DESCRIPTION.extent // DESCRIPTION.block


def bitmap() -> IntentBitmap:
    return bitmap_of(BLOCKS, PER_EXTENT)


def target(**peers: PeerRecord) -> Target:
    facts: dict[str, Any] = {"size": DESCRIPTION.size, "block": DESCRIPTION.block, "extent": DESCRIPTION.extent}
    beta = record(node="beta", role="target", **facts, generation="g1", peers=dict(peers))
    return Target(DESCRIPTION, "beta", beta, {name: bitmap() for name in ("alpha", "gamma")}, "x", store=MemoryStore())


def welcomed(made: Target, peer: str, epoch: int) -> list[Any]:
    """Let it be welcomed by ``peer``; return what it does, its commits carried out."""
    done = []
    terms = required(DESCRIPTION)
    made.on_message(
        peer,
        welcome(DESCRIPTION, epoch=epoch, source=peer, terms=terms),
        1.0,
    )
    while made.actions:
        action = made.actions.pop(0)
        done.append(action)
        if isinstance(action, Commit):
            made.committed(action.number, 1.0)
    return done


def connects(done: list[Any]) -> bool:
    return any(isinstance(action, Connect) for action in done)


def test_it_enters_the_stream_of_a_source_that_welcomes_it() -> None:
    assert connects(welcomed(target(), "alpha", 5))


def test_one_that_stops_enters_no_stream_any_more() -> None:
    made = target()
    made.stop()
    made.actions.clear()
    assert welcomed(made, "alpha", 5) == []
    assert made.metadata.epoch == 0
    made.tick(100.0, stalled=0.0)
    assert not [action for action in made.actions if isinstance(getattr(action, "message", None), Hello)]


def test_one_that_stops_while_its_epoch_is_recorded_does_not_enter() -> None:
    made = target()
    made.on_message(
        "alpha",
        welcome(DESCRIPTION),
        1.0,
    )
    [commit] = [action for action in made.actions if isinstance(action, Commit)]
    made.actions.clear()
    made.stop()
    made.actions.clear()
    made.committed(commit.number, 1.0)
    assert not connects(made.actions)
    assert not made.peer_bitmaps.active


@pytest.mark.parametrize("source", ["alpha", "gamma"])
def test_what_was_saved_aside_counts_for_one_source_and_until_another_is_followed(source: str) -> None:
    """Else what it takes from that other one, and the first lacks, would be replaced and not saved."""
    made = target(alpha=PeerRecord(saved=True, tracked=True), gamma=PeerRecord(tracked=True))
    made.peer_bitmaps.bitmaps["alpha"].mark(3, 4)
    assert connects(welcomed(made, source, 5))
    assert record_of(made.metadata, "alpha").saved == (source == "alpha")
    made.on_message(
        source,
        welcome(DESCRIPTION, source=source),
        1.0,
    )
    made.tick(1000.0, stalled=0.0)
    made.actions.clear()
    saves = [action for action in welcomed(made, "alpha", 6) if isinstance(action, SaveDiverged)]
    assert bool(saves) == (source == "gamma")


def test_what_its_state_does_not_allow_a_source_is_ignored_counted_and_reported() -> None:
    made = target()
    assert not made.following.fire("evicted", "its window is full")
    assert (made.state, made.following.messages_refused) == ("Disconnected", 1)
    [event] = [action for action in made.actions if isinstance(action, Event)]
    assert (event.name, event.level) == ("message_refused", "warning")
