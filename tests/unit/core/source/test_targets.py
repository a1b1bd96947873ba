"""How a target leaves the stream, and what an administrator says of it (R4, R5, R10, R15)."""

from __future__ import annotations

from typing import Any

import pytest

from dkrepl.config.limits import DEFAULT
from dkrepl.core.actions import Commit, Event, QuorumChanged
from dkrepl.core.lineage.peer_records import record_of
from dkrepl.core.protocol.messages import Bye, Evict
from tests.unit.core.source.alpha import Alpha, described
from tests.unit.core.source.started import IN_SYNC


def in_sync(**fields: Any) -> Alpha:
    """Return alpha, with beta in sync."""
    alpha = Alpha(described(**fields), peers={"beta": IN_SYNC})
    alpha.get_in_sync()
    alpha.done.clear()
    return alpha


def test_the_pause_of_one_that_is_evicted_grows_and_is_short_again_after_it_was_in_sync_for_long() -> None:
    alpha = in_sync()
    pauses = []
    for lasts in (0.0, 0.0, DEFAULT.rejoin_last_seconds + 1):
        alpha.now += lasts
        alpha.core.local_error(alpha.core.stream.control_record(), alpha.now)
        alpha.perform()
        pauses.append(alpha.sent(Evict, "beta")[-1].retry)
        alpha.view().bitmap.clear(0, 1)
        alpha.get_in_sync()
    first = DEFAULT.rejoin_first_seconds
    assert pauses == [first, 2 * first, first]


def test_one_that_is_evicted_before_it_is_in_sync_has_no_time_to_its_credit() -> None:
    alpha = Alpha()
    alpha.enter()
    alpha.core.targets.resync("beta", False, alpha.now)
    alpha.perform()
    assert [message.code for message in alpha.sent(Evict, "beta")] == ["Resync"]
    assert alpha.view().state == "Behind"


def test_the_quorum_is_lost_with_a_target_and_regained_with_it() -> None:
    alpha = in_sync(min_copies=2)
    assert not alpha.core.quorum.lost
    alpha.say(Bye("beta"), "beta")
    assert alpha.core.quorum.lost
    assert alpha.reported()[-1] == "quorum_lost"
    assert alpha.asked_for(QuorumChanged)
    alpha.now += 1
    alpha.get_in_sync()
    assert not alpha.core.quorum.lost
    assert "quorum_regained" in alpha.reported()


def test_writes_fail_without_a_quorum_where_the_description_says_so() -> None:
    alpha = in_sync(min_copies=2, on_no_quorum="error")
    alpha.say(Bye("beta"), "beta")
    [lost] = [event for event in alpha.asked_for(Event) if event.name == "quorum_lost"]
    assert lost.fields["outcome"] == "writes fail"


# --- the administrator --------------------------------------------------------------------------------------


def test_one_that_is_paused_leaves_the_stream_and_stays_so_over_a_restart() -> None:
    alpha = in_sync()
    alpha.core.targets.pause("beta", alpha.now)
    alpha.core.targets.pause("beta", alpha.now)
    alpha.perform()
    assert [message.code for message in alpha.sent(Evict, "beta")] == ["Paused"]
    assert (alpha.view().state, alpha.view().reason) == ("Paused", "paused by the administrator")
    again = Alpha(peers=alpha.core.metadata.peers)
    assert (again.view().state, again.view().reason) == ("Paused", "paused by the administrator")


def test_one_that_is_resumed_may_come_back_and_to_resume_it_twice_does_no_harm() -> None:
    alpha = in_sync()
    alpha.core.targets.pause("beta", alpha.now)
    alpha.core.targets.resume("beta", alpha.now)
    alpha.core.targets.resume("beta", alpha.now)
    alpha.perform()
    assert alpha.view().state == "Disconnected"
    assert not record_of(alpha.core.metadata, "beta").paused


def test_a_full_resync_is_recorded_and_marks_every_block() -> None:
    alpha = in_sync()
    number = alpha.core.targets.resync("beta", True, alpha.now)
    assert number in [action.number for action in alpha.perform() if isinstance(action, Commit)]
    assert record_of(alpha.core.metadata, "beta").full
    assert alpha.view().bitmap.filling or alpha.view().bitmap.count() == alpha.description.blocks


def test_one_that_is_behind_is_called_back_at_once() -> None:
    alpha = in_sync()
    for _ in range(2):
        assert alpha.core.targets.resync("beta", False, alpha.now) is None
        alpha.perform()
    assert [message.retry for message in alpha.sent(Evict, "beta")] == [DEFAULT.rejoin_first_seconds, 0.0]


@pytest.mark.parametrize("why", ["it was stopped", "its connection is gone"])
def test_one_that_is_away_is_not_lost_again(why: str) -> None:
    alpha = Alpha()
    alpha.core.disconnected("beta", why, alpha.now)
    alpha.core.disconnected("delta", why, alpha.now)
    assert alpha.perform() == []


def test_what_was_on_its_way_in_a_resync_does_not_keep_extents_active() -> None:
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.view().bitmap.mark(0, 1)
    alpha.enter()
    while (found := alpha.core.resync_order.next(alpha.now)) is None:
        alpha.let_pass(0.1)
    alpha.core.resync_order.sent(*found, data_bytes=4096)
    alpha.say(Bye("beta"), "beta")
    alpha.core.commits.plan(alpha.now, everything=True)
    assert [action.active[1] for action in alpha.perform() if isinstance(action, Commit) and action.active] == [
        frozenset()
    ]
