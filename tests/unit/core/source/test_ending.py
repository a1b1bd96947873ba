"""How a source ends: what is waited for, what is said, and what has to be on record before."""

from __future__ import annotations

from dkrepl.config.limits import DEFAULT
from dkrepl.core.actions import Commit, Ended, FlushStore, Send
from dkrepl.core.protocol.messages import Bye
from dkrepl.core.source.source import Source
from tests.unit.core.source.started import commit, new_record, started
from tests.unit.core.source.world import World


def flush_ends(source: Source, why: str | None = None, now: float = 1.0) -> None:
    """The last flush of the store ends."""
    [flush] = [action for action in source.actions if isinstance(action, FlushStore)]
    source.last_flush_ended(flush.number, why, now)


def fail_commits(source: Source, now: float) -> None:
    """What the source wants to record cannot be written."""
    numbers = [action.number for action in source.actions if isinstance(action, Commit)]
    source.actions.clear()
    for number in numbers:
        source.commits.failed(number, "No space left on device", now)


def farewells(source: Source) -> list[str]:
    """Return the peers to which goodbye is said."""
    return [one.peer for one in source.actions if isinstance(one, Send) and isinstance(one.message, Bye)]


def ended(source: Source) -> list[Ended]:
    """Return how it has ended, if it has."""
    return [action for action in source.actions if isinstance(action, Ended)]


def ending_without_a_record(changes_role: bool) -> Source:
    """Return a source whose last flush has failed, and whose record could not be written until it gave up."""
    source = started(new_record())
    source.ending.begin(1.0, changes_role=changes_role)
    flush_ends(source, "Input/output error")
    late = 2.0 + DEFAULT.last_record_seconds
    for now in (1.0, 1.5, late, late):
        source.ending.go_on(now)
        if ended(source):
            break
        fail_commits(source, now)
    return source


def test_goodbye_is_said_when_the_last_flush_is_durable_at_a_target_that_is_in_sync() -> None:
    world = World()
    source = world.source
    source.ending.begin(1.0, changes_role=True)
    flush_ends(source)
    source.ending.go_on(1.0)
    assert not farewells(source)
    assert not source.ending.drained
    view = source.views["beta"]
    assert view.member is not None
    seq = source.stream.log.seq
    view.member.advance(seq, seq, source.stream.log, 1.1)
    source.ending.go_on(1.2)
    assert "beta" in farewells(source)
    assert source.ending.drained == {"beta": view.epoch}


def test_a_target_that_does_not_confirm_the_last_flush_in_time_has_not_got_everything() -> None:
    source = World().source
    source.ending.begin(1.0, changes_role=True)
    flush_ends(source)
    source.ending.go_on(1.1 + DEFAULT.last_acks_seconds)
    assert "beta" in farewells(source)
    assert not source.ending.drained


def test_a_source_ends_once_everything_that_it_recorded_is_durable() -> None:
    source = started(new_record())
    source.targets.pause("beta", 1.0)
    source.ending.begin(1.0, changes_role=False)
    flush_ends(source)
    for now in (1.0, 1.1, 1.2):
        source.ending.go_on(now)
    assert not ended(source)
    commit(source)
    source.ending.go_on(1.3)
    assert ended(source) == [Ended(None)]


def leaving() -> Source:
    """Return a source that leaves, except that a commit of its activity log is on its way."""
    source = started(new_record())
    source.activity_log.want(0, 1)
    source.commits.plan(1.0)
    source.ending.begin(1.0, changes_role=True)
    flush_ends(source)
    source.ending.go_on(1.0)
    return source


def test_a_commit_of_the_activity_log_ends_before_goodbye() -> None:
    source = leaving()
    assert not farewells(source)
    commit(source)
    source.ending.go_on(1.1)
    assert "beta" in farewells(source)


def test_what_users_of_a_device_that_cannot_be_taken_away_still_write_does_not_hold_up_the_end() -> None:
    source = leaving()
    assert not source.write_admission.admit(5 << 22, 4096)
    commit(source)
    source.commits.plan(1.1)
    assert not source.activity_log.committing
    source.ending.go_on(1.1)
    assert "beta" in farewells(source)


def test_a_disk_that_does_not_answer_ends_the_daemon_with_an_error_and_no_goodbye() -> None:
    source = leaving()
    source.ending.go_on(1.0 + DEFAULT.last_commit_seconds)
    assert not ended(source)
    source.ending.go_on(1.1 + DEFAULT.last_commit_seconds)
    [end] = ended(source)
    assert end.error is not None
    assert "has not ended" in end.error
    assert not farewells(source)
    assert not source.ending.drained
    assert source.ending.said_goodbye


def test_nor_does_it_go_on_in_another_role_while_a_record_of_this_one_may_still_be_written() -> None:
    source = leaving()
    commit(source)
    source.ending.go_on(1.1)
    source.targets.pause("beta", 1.1)
    source.ending.go_on(1.0 + DEFAULT.last_commit_seconds)
    assert not ended(source)
    source.ending.go_on(1.2 + DEFAULT.last_commit_seconds)
    [end] = ended(source)
    assert end.error is not None


def test_a_failed_last_flush_is_on_record_before_the_source_ends() -> None:
    source = started(new_record())
    source.ending.begin(1.0, changes_role=True)
    flush_ends(source, "Input/output error")
    source.ending.go_on(1.0)
    assert not ended(source)
    commit(source)
    source.ending.go_on(1.1)
    assert ended(source) == [Ended(None)]
    assert source.metadata.store_failed == "Input/output error"
    assert not source.ending.unrecorded


def test_a_failed_last_flush_that_cannot_be_recorded_is_left_to_the_next_role() -> None:
    source = ending_without_a_record(changes_role=True)
    assert ended(source) == [Ended(None)]
    assert source.ending.unrecorded == "Input/output error"


def test_it_does_so_even_if_the_activity_log_could_be_written_meanwhile() -> None:
    source = started(new_record())
    source.ending.begin(1.0, changes_role=False)
    flush_ends(source, "Input/output error")
    fail_commits(source, 1.0)
    source.ending.go_on(1.0)
    verdict, activity = source.record.newest, source.record.commit("activity")
    source.commits.failed(verdict, "No space left on device", 1.1)
    source.record.committed(activity)
    source.ending.go_on(1.1 + DEFAULT.last_record_seconds)
    [end] = ended(source)
    assert end.error is not None
    assert "is not on record" in end.error


def test_a_daemon_that_cannot_record_a_failed_last_flush_ends_with_an_error() -> None:
    source = ending_without_a_record(changes_role=False)
    assert ended(source) == [Ended("No space left on device")]
