"""The file of the activity log: the newest commit is there again, and a torn one is never taken for data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dkrepl.core.intent import activity_record
from dkrepl.io.state.activity_file import ActivityFile


def _reopened(path: Path) -> ActivityFile:
    file = ActivityFile(path)
    file.open()
    return file


def test_the_newest_commit_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "active"
    file = _reopened(path)
    assert file.created
    serial = file.record.serial
    for extents in ({1, 2, 3}, set(range(1024)), {7}):
        serial += 1
        file.write(serial, extents)
        found = _reopened(path)
        assert (found.created, found.damage) == (False, "")
        assert found.record == (serial, frozenset(extents))
        found.close()
    file.close()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=st.integers(0, activity_record.SECTORS - 1), many=st.integers(1, 1024), seed=st.integers(0, 2**16 - 1))
def test_a_commit_torn_by_a_power_loss_leaves_the_one_before(
    tmp_path: Path, written: int, many: int, seed: int
) -> None:
    path = tmp_path / "active"
    path.unlink(missing_ok=True)
    file = _reopened(path)
    serial = file.record.serial
    file.write(serial + 1, {1, 2})
    file.write(serial + 2, {3, 4})
    before = path.read_bytes()
    file.write(serial + 3, range(many))
    after = path.read_bytes()
    file.close()
    # Some of the sectors of the last commit reached the disk, in any order; not all.
    sectors = [i for i in range(len(after) // 512) if after[i * 512 : i * 512 + 512] != before[i * 512 : i * 512 + 512]]
    reached = [i for n, i in enumerate(sectors) if seed >> (n % 16) & 1][:written]
    torn = bytearray(before)
    for i in reached:
        torn[i * 512 : i * 512 + 512] = after[i * 512 : i * 512 + 512]
    path.write_bytes(torn)
    found = _reopened(path)
    assert (found.damage, found.record.extents) == ("", frozenset({3, 4}))
    # The next commit goes where the torn one was, and counts as the newest.
    found.write(found.record.serial + 1, {9})
    found.close()
    assert activity_record.parse(path.read_bytes()).extents == {9}
    again = bytearray(torn)
    offset, content = activity_record.pack(found.record.serial + 1, {9})
    again[offset : offset + 512] = content[:512]
    assert activity_record.parse(bytes(again)).extents == {3, 4}


@pytest.mark.parametrize("content", [b"", b"\0" * 16384, b"x" * 100])
def test_a_record_that_cannot_be_read_is_told_and_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "active"
    path.write_bytes(content)
    file = _reopened(path)
    assert str(path) in file.damage
    assert file.record.extents == frozenset()
    file.close()
    again = _reopened(path)
    assert again.damage == ""
    again.close()


def test_more_than_fits_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "active"
    file = _reopened(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="do not fit"):
        file.write(file.record.serial + 1, range(activity_record.CAPACITY + 1))
    assert path.read_bytes() == before
    file.close()
    shutil.rmtree(tmp_path)
