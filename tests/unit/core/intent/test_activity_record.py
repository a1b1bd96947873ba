"""The activity log: the newest whole commit, whatever a power loss tore; damage is said (R1, R9)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkrepl.core.intent import activity_record as record
from dkrepl.errors import MetadataError

EXTENTS = st.frozensets(st.integers(0, 2**32 - 1), max_size=300)


def written(content: bytes, serial: int, extents: frozenset[int], sectors: set[int] | None = None) -> bytes:
    """The file after a commit of which only some sectors reached the disk."""
    offset, data = record.pack(serial, extents)
    found = bytearray(content)
    for index in range(record.SECTORS):
        if sectors is None or index in sectors:
            at = index * record.SECTOR
            found[offset + at : offset + at + record.SECTOR] = data[at : at + record.SECTOR]
    return bytes(found)


@given(st.lists(EXTENTS, max_size=4))
def test_the_newest_commit_is_read(commits: list[frozenset[int]]) -> None:
    content = record.empty_file()
    for extents in commits:
        content = written(content, record.parse(content).serial + 1, extents)
    assert record.parse(content).extents == (commits[-1] if commits else frozenset())


@given(EXTENTS, EXTENTS, st.sets(st.integers(0, record.SECTORS - 1)))
def test_a_torn_commit_leaves_the_one_before_or_itself(
    before: frozenset[int], torn: frozenset[int], sectors: set[int]
) -> None:
    content = written(record.empty_file(), record.parse(record.empty_file()).serial + 1, before)
    content = written(content, record.parse(content).serial + 1, torn, sectors)
    whole = len(sectors) == record.SECTORS
    assert record.parse(content).extents == (torn if whole else before)


def test_commits_torn_one_after_the_other_are_never_mixed() -> None:
    """Each numbers itself anew after a restart, so that sectors of two torn ones do not pass for one record."""
    rng = random.Random(5)
    for _ in range(300):
        good = frozenset(rng.sample(range(500), 150))
        content = written(record.empty_file(), record.parse(record.empty_file()).serial + 1, good)
        for _ in range(3):
            torn = frozenset(rng.sample(range(500), 150))
            sectors = set(rng.sample(range(record.SECTORS), rng.randrange(record.SECTORS)))
            content = written(content, record.parse(content).serial + 1, torn, sectors)
            assert record.parse(content).extents == good


@given(st.integers(0, record.FILE_BYTES - 1), st.integers(0, 7))
def test_a_flipped_bit_is_said_or_does_not_matter(at: int, bit: int) -> None:
    content = bytearray(written(record.empty_file(), 2, frozenset(range(400))))
    content[at] ^= 1 << bit
    try:
        found = record.parse(bytes(content))
    except MetadataError:
        return
    assert found.extents == frozenset(range(400))  # it was in the padding behind a sector's checksum


# A whole file is more than hypothesis draws at a time.
@given(st.binary(max_size=64) | st.integers().map(lambda seed: random.Random(seed).randbytes(record.FILE_BYTES)))
def test_any_bytes_are_a_metadata_error(content: bytes) -> None:
    with pytest.raises(MetadataError, match="full resync"):
        record.parse(content)


def test_two_torn_commits_leave_no_record_to_go_by() -> None:
    content = written(record.empty_file(), 2, frozenset({1}), {0})
    content = written(content, 3, frozenset({2}), {0})
    with pytest.raises(MetadataError, match="both slots of the activity log are torn"):
        record.parse(content)


def test_sectors_of_one_commit_that_count_its_extents_differently_are_damage() -> None:
    content = written(record.empty_file(), 2, frozenset({1}))
    content = written(content, 2, frozenset({1, 2}), {0})
    with pytest.raises(MetadataError, match="contradicts itself"):
        record.parse(content)


def test_more_extents_than_fit_are_not_packed() -> None:
    record.pack(1, range(record.CAPACITY))
    with pytest.raises(ValueError, match="do not fit"):
        record.pack(1, range(record.CAPACITY + 1))
