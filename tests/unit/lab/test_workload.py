"""The account of a load: what is found is told apart from what is not, here and on a node."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import pages
from tests.lab.pages import PAGE, pattern
from tests.lab.workload import Account, Area, Missing


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Ten pages, the first of which holds write 7."""
    path = tmp_path / "store"
    path.write_bytes(pattern(7, 0) + bytes(9 * PAGE))
    return path


def account(number: int, place: int = 0) -> Account:
    made = Account()
    made.begins([place])
    made.answers(number, [place])
    return made


@pytest.mark.parametrize("answered", [6, 7])
def test_the_newest_answered_write_or_a_later_one_is_found(store: Path, answered: int) -> None:
    assert account(answered).missing_in(store) == []


def test_an_older_write_is_not_what_was_answered(store: Path) -> None:
    assert account(8).missing_in(store) == [Missing(0, 8, 7)]
    assert str(Missing(0, 8, 7)) == "0: write 7 where write 8 was answered"


def test_parts_of_two_writes_are_none(store: Path) -> None:
    with store.open("r+b") as file:
        file.seek(PAGE - 16)
        file.write(pattern(8, 0)[-16:])
    [found] = account(7).missing_in(store)
    assert "parts of two writes" in str(found)


def test_a_page_of_another_place_is_none(store: Path) -> None:
    store.write_bytes(pattern(9, PAGE))
    assert account(7).missing_in(store)


def test_a_later_write_that_settles_may_not_vanish_again(store: Path) -> None:
    made = account(6)
    assert made.missing_in(store, settles=True) == []
    store.write_bytes(pattern(6, 0) + bytes(9 * PAGE))
    assert made.missing_in(store) == [Missing(0, 7, 6)]


def test_nothing_answered_shows_nothing(store: Path) -> None:
    with pytest.raises(AssertionError, match="nothing was answered"):
        Account().missing_in(store)


def test_what_was_written_is_counted_in_blocks() -> None:
    made = Account()
    made.begins([0, PAGE, 5 * PAGE])
    assert made.written(4 * PAGE) == 2 * 4 * PAGE


def test_a_node_fills_an_area_and_looks_for_it_by_itself(store: Path) -> None:
    def on_node(*words: str, stdin: str = "") -> str:
        command = [sys.executable, "-c", Path(pages.__file__).read_text(), *words]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True, timeout=60).stdout

    area = Area(2 * PAGE, 3 * PAGE)
    on_node("fill", str(store), str(area.first), str(area.length), "4711")
    made = Account()
    made.fills(4711, area)
    assert made.missing_in(store) == []
    assert store.stat().st_size == 10 * PAGE
    made.answers(4712, [3 * PAGE])
    wanted = "".join(f"{place} {number}\n" for place, number in made.wanted())
    found = [tuple(map(int, line.split())) for line in on_node("read", str(store), stdin=wanted).splitlines()]
    assert found == [(2 * PAGE, 4711, 4711), (3 * PAGE, 4712, 4711), (4 * PAGE, 4711, 4711)]
