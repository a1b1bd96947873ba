"""The states of a target: every cell of both tables, legal or not."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import pytest

from dkrepl.core.states import (
    IN_STREAM,
    OF_TARGET,
    SEEN_BY_SOURCE,
    STATES,
    Event,
    EventOfTarget,
    EventSeenBySource,
    Machine,
    TargetState,
)
from dkrepl.errors import LocalProtocolError, ProtocolError

TABLES = {"seen by the source": SEEN_BY_SOURCE, "of the target": OF_TARGET}
CELLS = [(side, state, event) for side, table in TABLES.items() for state, event in itertools.product(STATES, table)]


@pytest.mark.parametrize(("side", "state", "event"), CELLS)
def test_every_event_leads_where_its_table_says_or_is_refused(side: str, state: TargetState, event: Any) -> None:
    found = TABLES[side][event]
    machine = Machine("beta", TABLES[side])
    machine.state = state
    if state in found.moves:
        assert machine.fire(event) == state
        assert machine.state == found.moves[state]
        return
    with pytest.raises(ProtocolError if found.by == "peer" else LocalProtocolError, match=f"beta is {state}"):
        machine.fire(event)
    assert machine.state == state, "an illegal event changes nothing"


def _before(table: dict[str, Event], state: TargetState) -> set[TargetState]:
    return {before for event in table.values() for before, after in event.moves.items() if after == state} - {state}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_in_sync_comes_after_resyncing_and_the_stream_is_entered_by_a_handshake_alone(table: dict[str, Event]) -> None:
    assert _before(table, "InSync") == {"Resyncing"}
    assert _before(table, "Resyncing") == {"Connecting"}
    assert set(STATES) > IN_STREAM


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_state_can_be_reached_and_left(table: dict[str, Event]) -> None:
    for state in STATES:
        assert _before(table, state)
        assert any(event.moves.get(state, state) != state for event in table.values())


def test_a_paused_target_leaves_that_state_by_a_command_alone() -> None:
    assert [event for event, found in SEEN_BY_SOURCE.items() if "Paused" in found.moves] == ["resumed"]


def test_what_only_this_node_decides_never_blames_a_peer() -> None:
    assert all(event.by == "this node" for event in SEEN_BY_SOURCE.values())


def test_the_events_that_can_be_fired_are_those_of_the_tables() -> None:
    assert get_args(EventSeenBySource) == tuple(SEEN_BY_SOURCE)
    assert get_args(EventOfTarget) == tuple(OF_TARGET)
    assert get_args(TargetState) == tuple(STATES)
