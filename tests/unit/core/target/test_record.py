"""What a target has on record, and what it owes (R6, R15)."""

from __future__ import annotations

import msgspec
import pytest

from dkrepl.core.actions import Commit, TargetAction
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.outbox import Outbox
from dkrepl.core.target.record import TargetRecord
from dkrepl.errors import LocalProtocolError
from tests.unit.records import record

RETRY = 2.0
CONSISTENT = record(node="beta", role="target", block=1 << 16, extent=1 << 19, generation="")
INCONSISTENT = msgspec.structs.replace(CONSISTENT, store_state="Inconsistent")


class Recorded:
    def __init__(self) -> None:
        out: Outbox[TargetAction] = Outbox()
        self.actions = out.actions
        self.record = TargetRecord(CONSISTENT, out, RETRY)

    @property
    def commits(self) -> list[NodeMetadata | None]:
        found = [action.metadata for action in self.actions if isinstance(action, Commit)]
        self.actions.clear()
        return found

    def verdict_fails(self, now: float) -> None:
        """The store has failed, and that cannot be recorded."""
        self.record.failed(self.record.commit("inconsistent", INCONSISTENT), "no space", now)
        self.actions.clear()


def test_a_verdict_that_could_not_be_recorded_holds_and_is_recorded_later() -> None:
    made = Recorded()
    made.verdict_fails(0.0)
    assert made.record.metadata.store_state == "Inconsistent"
    assert made.record.durable.store_state == "Consistent"
    made.record.tick(RETRY / 2)
    assert made.commits == []
    made.record.tick(RETRY)
    assert made.commits == [INCONSISTENT]


def test_once_another_record_has_the_verdict_it_is_owed_no_more() -> None:
    made = Recorded()
    made.verdict_fails(0.0)
    made.record.committed(made.record.commit("joined", msgspec.structs.replace(made.record.metadata, epoch=5)))
    made.record.committed(made.record.commit("synced", msgspec.structs.replace(CONSISTENT, epoch=5)))
    made.actions.clear()
    made.record.tick(100.0)
    assert made.commits == [], "the resync has ended, and the copy is whole again"
    assert made.record.metadata.store_state == "Consistent"


def test_a_verdict_is_not_forgotten_when_the_record_of_the_end_of_a_resync_fails_too() -> None:
    made = Recorded()
    made.verdict_fails(0.0)
    made.record.failed(made.record.commit("synced", CONSISTENT), "no space", 1.0)
    assert made.record.metadata.store_state == "Inconsistent"


def test_a_commit_that_nobody_began_is_our_own_mistake() -> None:
    made = Recorded()
    with pytest.raises(LocalProtocolError, match="commit 999"):
        made.record.committed(999)
    with pytest.raises(LocalProtocolError, match="commit 999"):
        made.record.failed(999, "no space", 0.0)
