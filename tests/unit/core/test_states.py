"""The table of a target's states: every pair, allowed or not."""

from __future__ import annotations

import itertools

import pytest

from dkrepl.core.states import (
    IN_STREAM,
    SEEN_BY_SOURCE,
    SEEN_BY_TARGET,
    STATES,
    IllegalTransition,
    TargetState,
    check_transition,
)

TABLES = {"source": SEEN_BY_SOURCE, "target": SEEN_BY_TARGET}
PAIRS = list(itertools.product(TABLES, STATES, STATES))


@pytest.mark.parametrize(("seen_by", "before", "after"), PAIRS)
def test_only_what_the_table_has_may_follow(seen_by: str, before: TargetState, after: TargetState) -> None:
    table = TABLES[seen_by]
    if after == before or after in table[before]:
        check_transition(table, "beta", before, after)
    else:
        with pytest.raises(IllegalTransition, match=f"beta cannot go from {before} to {after}"):
            check_transition(table, "beta", before, after)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_in_sync_comes_after_resyncing_and_the_stream_is_entered_by_a_handshake_alone(
    table: dict[TargetState, tuple[TargetState, ...]],
) -> None:
    assert [state for state in STATES if "InSync" in table[state]] == ["Resyncing"]
    assert [state for state in STATES if "Resyncing" in table[state]] == ["Connecting"]
    assert set(table) == set(STATES) > IN_STREAM


def test_a_paused_target_leaves_that_state_by_a_command_alone() -> None:
    assert SEEN_BY_SOURCE["Paused"] == ("Disconnected",)
