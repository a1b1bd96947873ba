"""Status: what a node of each role answers is read as what it is, also if it is newer than the reader."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dkrepl.api import status
from dkrepl.api.status import (
    SCHEMA,
    ArbitratingStatus,
    ExpectedTarget,
    NodeStatus,
    Refusals,
    SourceCounters,
    SourceStatus,
    TargetCounters,
    TargetStatus,
    from_json,
)
from dkrepl.core.states import STATES

COMMON: dict[str, Any] = {
    "mirror": "r0",
    "node": "alpha",
    "size": 1 << 30,
    "block": 65536,
    "extent": 4 << 20,
    "generation": None,
    "warnings": [],
}
SOURCE = SourceStatus(
    **COMMON,
    state="Serving",
    device="/dev/dkrepl/r0",
    loop=None,
    session="fedcba9876543210",
    seq=4711,
    active_extents=2,
    store_stalled=None,
    quorum=status.Quorum(available=2, min=1),
    split_brain=status.SplitBrain(peer="beta", since=None, here_bytes=1, there_bytes=None),
    targets=[],
    counters=SourceCounters(frames_refused=0, writes=1, written_bytes=2, reads=3, read_bytes=4, flushes=5, discards=6),
)
TARGET = TargetStatus(
    **COMMON,
    mode="sync",
    state="InSync",
    reason=None,
    source="beta",
    store_state="Consistent",
    store_stalled=None,
    session="fedcba9876543210",
    applied_seq=1,
    durable_seq=1,
    last_heard=None,
    resync=None,
    split_brain=None,
    diverged=[],
    counters=TargetCounters(frames_refused=0, applied_bytes=1, resync_bytes=2),
)
ARBITRATING = ArbitratingStatus(
    **COMMON,
    reason="beta has not answered yet",
    counters=Refusals(frames_refused=0),
    targets=[
        ExpectedTarget(name="beta", address="10.0.0.2", mode="sync", on_full="block", state="Disconnected", reason=None)
    ],
)
ALL = pytest.mark.parametrize("whole", [SOURCE, TARGET, ARBITRATING], ids=["source", "target", "arbitrating"])


@ALL
def test_a_status_is_read_as_the_role_it_is_of(whole: NodeStatus) -> None:
    assert from_json(msgspec.to_builtins(whole)) == whole


@ALL
def test_keys_of_a_newer_daemon_are_passed_over(whole: NodeStatus) -> None:
    assert from_json(msgspec.to_builtins(whole) | {"schema": SCHEMA + 1, "mood": "good"}).schema == SCHEMA + 1


@ALL
@pytest.mark.parametrize("key", ["mirror", "size", "counters", "warnings"])
def test_a_status_without_a_key_is_none(whole: NodeStatus, key: str) -> None:
    answer = msgspec.to_builtins(whole)
    del answer[key]
    with pytest.raises(msgspec.ValidationError, match=key):
        from_json(answer)


@pytest.mark.parametrize("answer", [None, [], "Serving", {}, {"role": "observer"}, {"role": ["source"], "seq": 1}])
def test_what_is_no_status_is_refused(answer: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        from_json(answer)


def test_a_split_brain_names_the_other_node_under_the_key_with() -> None:
    assert msgspec.to_builtins(SOURCE)["split_brain"]["with"] == "beta"


def test_the_states_that_are_documented_are_those_of_a_target() -> None:
    assert sorted(status.STATES) == sorted(STATES)
