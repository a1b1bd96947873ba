"""The quorum of a write: how many copies can confirm it, and what a description may ask for."""

from __future__ import annotations

import pytest

from dkrepl.config.description import parse
from dkrepl.config.example import render_example
from dkrepl.core.source.member import Member
from dkrepl.core.source.target_settings import TargetSettings
from dkrepl.core.source.target_view import TargetView
from dkrepl.core.source.write_log import WriteLog
from dkrepl.core.source.write_quorum import WriteQuorum
from dkrepl.core.states import STATES, TargetState
from dkrepl.errors import DescriptionError
from tests.unit.bitmaps import bitmap_of
from tests.unit.config.rendered import render


def view(mode: str = "sync", state: TargetState = "Disconnected", name: str = "beta") -> TargetView:
    bitmap = bitmap_of(64, 8)
    settings = TargetSettings(
        name=name, mode=mode, on_full="block", limit=256, window=1 << 20, group=0, slot=0, bitmap=bitmap
    )
    made = TargetView(settings)
    made.machine.state = state
    return made


def test_with_one_copy_there_are_always_enough() -> None:
    quorum = WriteQuorum(1, False, [view()])
    assert not quorum.changed()
    assert not quorum.lost
    assert quorum.warning is None


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_only_a_sync_target_that_is_in_sync_counts(state: TargetState, mode: str) -> None:
    quorum = WriteQuorum(2, False, [view(mode, state)])
    changed = quorum.changed()
    assert quorum.available == 1 + (mode == "sync" and state == "InSync")
    assert changed == quorum.lost == (quorum.available < 2)


def test_when_the_device_goes_writes_fail_that_would_wait() -> None:
    quorum = WriteQuorum(2, False, [view()])
    assert quorum.changed()
    assert (quorum.fails, quorum.refusing) == (False, False)
    quorum.end()
    assert (quorum.fails, quorum.refusing) == (True, True)
    assert "so writes fail until" in str(quorum.warning)


def test_the_end_of_the_device_fails_nothing_while_there_are_enough_copies() -> None:
    quorum = WriteQuorum(1, False, [view()])
    quorum.end()
    assert not quorum.refusing


def test_a_change_is_reported_once_each_way() -> None:
    one, other = view(), view(name="gamma")
    quorum = WriteQuorum(2, True, [one, other])
    assert quorum.changed()
    assert quorum.refusing
    assert "1 of 2 copies are available (min_copies), so writes fail" in str(quorum.warning)
    one.machine.state = "InSync"
    assert quorum.changed()
    other.machine.state = "InSync"
    assert not quorum.changed()
    one.machine.state = "Behind"
    assert not quorum.changed()
    other.machine.state = "Behind"
    assert quorum.changed()


@pytest.mark.parametrize(
    ("least", "durable", "flushed"),
    [(2, (10, 0), True), (2, (9, 0), False), (3, (10, 9), False), (3, (10, 11), True)],
)
def test_a_flush_need_not_wait_if_all_was_durable_on_enough_when_one_left(
    least: int, durable: tuple[int, int], flushed: bool
) -> None:
    leaving, other = view(), view(state="InSync" if least == 3 else "Disconnected", name="gamma")
    for one, confirmed in zip((leaving, other), durable, strict=True):
        one.member = Member(one.settings, epoch=1, at=confirmed, now=0.0, undurable=100)
    quorum = WriteQuorum(least, False, [leaving, other])
    quorum.note_flushed(10, leaving)
    assert quorum.flushed is flushed


def test_a_flush_after_a_start_waits_for_what_an_earlier_run_left_dirty() -> None:
    clean, dirty = view(), view(name="gamma")
    dirty.bitmap.mark(3, 4)
    assert WriteQuorum(2, False, [clean, dirty], complete=("beta", "gamma")).flushed
    assert not WriteQuorum(2, False, [clean, dirty], complete=("gamma",)).flushed
    assert not WriteQuorum(2, False, [dirty], complete=("gamma",)).flushed


def test_after_a_change_of_the_description_the_former_terms_must_be_satisfied_too() -> None:
    former = {"min_copies": "2", "node alpha": "sync", "node beta": "sync", "node gamma": "async"}
    beta, gamma = view(), view(state="InSync", name="gamma")
    quorum = WriteQuorum(1, False, [beta, gamma], (former,), "alpha")
    assert quorum.changed()
    assert quorum.lost, "gamma was asynchronous then, so its copy does not count by the former terms"
    assert "dkrepl config adopt" in str(quorum.warning)
    beta.machine.state = "InSync"
    assert quorum.changed()
    assert not quorum.lost
    beta.machine.state = "Behind"
    quorum.must_satisfy(())
    assert not quorum.changed()


def test_the_newest_change_is_that_of_data_and_not_of_a_flush() -> None:
    log = WriteLog()
    log.append(1, 2, 10)
    log.append(100, 1000, 0)
    log.append(0, 0, 0)
    assert log.newest_change == 2
    log.trim(3)
    assert log.newest_change == 0


def described(min_copies: object, modes: str) -> str:
    text = render_example().replace('mode = "sync"', f'mode = "{modes}"', 1)
    return text.replace('source = "alpha"', f'source = "alpha"\nmin_copies = {min_copies}', 1)


def test_as_many_copies_as_every_source_can_have_are_accepted_and_written_back() -> None:
    description = parse(described(2, "sync"), "r0", {})
    assert (description.min_copies, description.on_no_quorum) == (2, "wait")
    assert parse(render(description), "r0", {}) == description


@pytest.mark.parametrize(
    ("min_copies", "modes", "sentence"),
    [
        (3, "sync", "but only 2 copies can ever confirm a write"),
        (2, "async", "but only 1 copy can ever confirm a write"),
        (0, "sync", "min_copies is 0, but it must be a whole number of copies from 1 to 32"),
        ('"2"', "sync", "it must be a whole number"),
    ],
)
def test_more_copies_than_some_source_can_have_are_refused(min_copies: object, modes: str, sentence: str) -> None:
    with pytest.raises(DescriptionError, match=sentence):
        parse(described(min_copies, modes), "r0", {})


@pytest.mark.parametrize(("least", "enough"), [(1, True), (2, False)])
def test_the_copy_of_an_asynchronous_source_counts_only_where_one_is_enough(least: int, enough: bool) -> None:
    """The others, who may promote another node, need not know that it was made source (R11)."""
    quorum = WriteQuorum(least, False, [view()], source_is_sync=False)
    quorum.changed()
    assert quorum.lost != enough
    assert ("this source is async" in (quorum.warning or "")) != enough
