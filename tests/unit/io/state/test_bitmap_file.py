"""The file of a bitmap: what was written is there again, and damage is never taken for data."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dkrepl.config.limits import DEFAULT
from dkrepl.errors import MetadataError, StateDirectoryError
from dkrepl.io.state import bits_memory
from dkrepl.io.state.bitmap_file import BitmapFile
from tests.unit.records import record

RECORD = record(size=(64 << 20) + 4096, block=64 << 10, extent=1 << 20)
BLOCKS = 64 * 16 + 1
EXTENTS = 65


def _opened(path: Path, target: str = "beta", memory: Path | None = None, same_boot: bool = True) -> BitmapFile:
    """Open a bitmap as the intent store does; without ``memory``, with one that ends with the process."""
    return BitmapFile(path, RECORD, target, memory or path.with_name("no-tmpfs") / target, same_boot)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A place for memory that outlives the process."""
    with tempfile.TemporaryDirectory(prefix="dkrepl-", dir="/dev/shm") as directory:
        yield Path(directory) / "r0.bits" / "beta"


def _killed(file: BitmapFile) -> None:
    """The process is gone: nothing of it runs any more."""
    os.close(file._fd)


def _written(path: Path, mark: tuple[int, int] = (100, 103)) -> None:
    """Make a bitmap with a few bits set, its extents sealed."""
    file = _opened(path)
    file.bitmap.fill(0)
    file.bitmap.mark(*mark)
    file.bitmap.seal(range(EXTENTS))
    file.sync()
    file.close()


def test_a_new_bitmap_says_that_it_is_new(tmp_path: Path) -> None:
    file = _opened(tmp_path / "b")
    assert (file.created, file.damage) == (True, "")
    assert file.bitmap.blocks == BLOCKS
    file.close()
    assert not list(tmp_path.glob(".*")), "nothing is left beside it"


def test_a_closed_bitmap_is_exact_within_the_boot(tmp_path: Path) -> None:
    file = _opened(tmp_path / "b")
    file.adopt()
    file.bitmap.mark(5, 9)
    file.bitmap.mark(BLOCKS - 1, BLOCKS)
    file.close()
    again = _opened(tmp_path / "b")
    assert (again.created, again.damage, again.exact) == (False, "", True)
    assert list(again.bitmap.runs()) == [(5, 9), (BLOCKS - 1, BLOCKS)]
    assert again.bitmap.damaged(active=()) == [0, 64], "not sealed, so right only as long as they are active"
    assert again.bitmap.damaged(active=(0, 64)) == []
    again.close()
    other = _opened(tmp_path / "b", same_boot=False)
    assert (other.exact, other.bitmap.count()) == (False, 5)
    other.close()


def test_bits_survive_the_death_of_the_process_without_a_flush(tmp_path: Path, memory: Path) -> None:
    file = _opened(tmp_path / "b", memory=memory)
    file.adopt()
    file.sync()
    file.bitmap.mark(5, 9)
    _killed(file)
    assert (memory.parent.stat().st_mode & 0o777, memory.stat().st_mode & 0o777) == (0o700, 0o600)
    again = _opened(tmp_path / "b", memory=memory)
    assert (again.exact, list(again.bitmap.runs())) == (True, [(5, 9)])
    again.adopt()
    again.sync()
    _killed(again)
    memory.unlink()
    third = _opened(tmp_path / "b", memory=memory)
    assert (third.exact, list(third.bitmap.runs())) == (False, [(5, 9)]), "the successor wrote what the first had not"
    third.adopt()
    third.close()
    assert not memory.exists(), "a mirror that is stopped takes no memory"


@pytest.mark.parametrize("case", ["another boot", "another opening", "cut", "sparse", "not adopted"])
def test_memory_that_is_not_that_of_the_last_opening_is_not_taken(tmp_path: Path, memory: Path, case: str) -> None:
    first = _opened(tmp_path / "b", memory=memory)
    first.adopt()
    first.sync()
    first.bitmap.mark(5, 9)
    _killed(first)
    old = memory.read_bytes()
    if case == "another opening":
        memory.unlink()
        second = _opened(tmp_path / "b", memory=memory)
        second.adopt()
        _killed(second)
        memory.write_bytes(old)
    elif case == "not adopted":
        memory.unlink()
        _killed(_opened(tmp_path / "b", memory=memory))
    elif case == "cut":
        os.truncate(memory, len(old) - 1)
    elif case == "sparse":
        os.truncate(memory, 4096)
        os.truncate(memory, len(old))
    found = _opened(tmp_path / "b", memory=memory, same_boot=case != "another boot")
    assert (found.exact, found.bitmap.count(), found.damage) == (False, 0, "")
    found.adopt()
    found.close()


def test_memory_outside_a_tmpfs_is_told_and_does_not_count_after_a_death(tmp_path: Path) -> None:
    if bits_memory._is_tmpfs(tmp_path.stat().st_dev):
        pytest.skip("the temporary directory is a tmpfs, and this is about memory outside of one: give --basetemp")
    file = _opened(tmp_path / "b")
    assert "tmpfs" in file.not_kept
    file.adopt()
    file.sync()
    file.bitmap.mark(5, 9)
    _killed(file)
    again = _opened(tmp_path / "b")
    assert (again.exact, again.bitmap.count()) == (False, 0)
    again.close()


def test_only_what_changed_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = msgspec.structs.replace(RECORD, size=1 << 40)
    file = BitmapFile(tmp_path / "b", big, "beta", tmp_path / "m", True)
    file.sync()
    written: list[tuple[int, int]] = []
    right = os.pwrite

    def noted(fd: int, data: bytes, at: int) -> int:
        written.append((at, len(data)))
        return right(fd, data, at)

    monkeypatch.setattr(os, "pwrite", noted)
    monkeypatch.setattr(os, "fdatasync", lambda fd: written.append((-1, 0)))
    file.sync()
    assert written == [], "nothing changed: not even a flush"
    file.bitmap.mark(3 << DEFAULT.piece_shift, (4 << DEFAULT.piece_shift) + 1)
    file.bitmap.seal([5])
    file.sync()
    assert written == [(4096 * 4, 8192), (4096 + (2 << 20), 4096), (-1, 0)]
    monkeypatch.undo()
    file.close()


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_what_failed_to_be_written_is_written_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    file = _opened(tmp_path / "b")
    file.sync()
    file.bitmap.mark(5, 9)
    file.bitmap.seal([0])
    before = (tmp_path / "b").read_bytes()

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fail)
    for _ in range(2):
        with pytest.raises(StateDirectoryError, match="No space left"):
            file.sync()
    monkeypatch.undo()
    (tmp_path / "b").write_bytes(before)  # the kernel dropped what it could not write
    file.sync()
    content = (tmp_path / "b").read_bytes()
    assert content[4096] == 0b11100000
    assert content[8192:8196] != before[8192:8196], "the seal too"
    file.close()


def test_a_change_while_it_is_written_is_written_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _opened(tmp_path / "b")
    file.sync()
    file.bitmap.mark(0, 1)
    right = os.pwrite

    def change_after(fd: int, data: memoryview, at: int) -> int:
        count = right(fd, data, at)
        monkeypatch.setattr(os, "pwrite", right)
        file.bitmap.mark(1, 2)
        return count

    monkeypatch.setattr(os, "pwrite", change_after)
    file.sync()
    assert (tmp_path / "b").read_bytes()[4096] == 1
    file.sync()
    assert (tmp_path / "b").read_bytes()[4096] == 3
    file.close()


def test_the_memory_of_a_peer_that_was_removed_goes(memory: Path) -> None:
    memory.parent.mkdir()
    for name in ("beta", "gamma"):
        (memory.parent / name).touch()
    bits_memory.remove_others(memory.parent, {"beta"})
    assert [path.name for path in memory.parent.iterdir()] == ["beta"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_of_the_bits_or_seals_is_found(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "b"
    if not path.exists():
        _written(path)
    content = path.read_bytes()
    where = st.one_of(
        st.integers(0, 131),  # the header and its checksum
        st.integers(4096, 4096 + EXTENTS * 2 - 1),
        st.integers(8192, 8192 + EXTENTS * 4 - 1),
    )
    at, bit = data.draw(where), data.draw(st.integers(0, 7))
    bad = bytearray(content)
    bad[at] ^= 1 << bit
    path.write_bytes(bad)
    file = _opened(path)
    try:
        assert file.damage or file.bitmap.damaged(active=())
        if file.damage:
            assert file.bitmap.count() == BLOCKS, "what cannot be trusted means that every block may differ"
    finally:
        file.close()
        path.write_bytes(content)


def _shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def _of_another_target(path: Path) -> None:
    path.unlink()
    file = _opened(path, "gamma")
    file.bitmap.fill(0)
    file.close()


@pytest.mark.parametrize(
    "damage",
    [
        _shorter,
        _longer,
        _of_another_target,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(bytes(12288)),
    ],
)
def test_a_file_that_is_not_the_bitmap_is_replaced_by_one_that_names_every_block(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = tmp_path / "b"
    _written(path)
    damage(path)
    file = _opened(path)
    assert str(path) in file.damage
    assert file.bitmap.count() == BLOCKS
    file.sync()
    file.close()
    again = _opened(path)
    assert (again.damage, again.bitmap.count(), again.bitmap.damaged(())) == ("", BLOCKS, [])
    again.close()


def test_a_directory_in_its_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(MetadataError, match="cannot use the bitmap"):
        _opened(tmp_path / "b")


# --- the activity log ---------------------------------------------------------------------------------
