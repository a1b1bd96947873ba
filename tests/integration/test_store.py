"""The backing store on a real file system: holes, locks, short looks and clear refusals."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dkrepl.errors import StoreError
from dkrepl.io.store.contents import is_empty, what_it_holds
from dkrepl.io.store.sparse_file import create_sparse
from dkrepl.io.store.store import BackingStore, StoreFailed
from tests.integration.harness.applications import loop_device

MIB = 1 << 20
BLOCK = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "store.img"
    create_sparse(made, 4 * MIB)
    return made


def test_a_new_store_is_sparse_and_empty(path: Path) -> None:
    store = BackingStore(path)
    assert (store.size, store.is_block) == (4 * MIB, False)
    assert list(store.data_ranges()) == []
    assert is_empty(store)
    assert what_it_holds(store) == "nothing"
    assert path.stat().st_blocks == 0
    store.close()


def test_an_existing_file_is_never_created_over(path: Path) -> None:
    path.write_bytes(b"precious")
    with pytest.raises(StoreError, match="exists already"):
        create_sparse(path, MIB)
    assert path.read_bytes() == b"precious"


def test_opening_never_creates(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist: create it with `dkrepl init`"):
        BackingStore(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_or_pipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a directory"):
        BackingStore(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="neither a file nor a block device"):
        BackingStore(tmp_path / "pipe")


def test_a_second_daemon_is_refused_until_the_first_is_gone(path: Path) -> None:
    first = BackingStore(path)
    with pytest.raises(StoreError, match="in use"):
        BackingStore(path)
    first.close()
    BackingStore(path).close()


def test_what_it_holds_is_told(path: Path) -> None:
    store = BackingStore(path)
    store.write(3 * MIB + 5 * BLOCK, b"\0" * 700 + b"x")
    assert not is_empty(store)
    assert what_it_holds(store) == f"data at offset {3 * MIB + 5 * BLOCK + 512}"
    store.close()


@pytest.mark.skipif(
    not shutil.which("mkfs.ext4"), reason="mkfs.ext4 is not installed, which makes the file system to be recognised"
)
def test_a_file_system_is_told_by_name(path: Path) -> None:
    subprocess.run(["mkfs.ext4", "-q", "-L", "photos", path], check=True)
    store = BackingStore(path)
    assert what_it_holds(store) == 'ext4 "photos"'
    assert not is_empty(store)
    store.close()


def test_written_zeroes_are_still_empty(path: Path) -> None:
    store = BackingStore(path)
    store.write(0, bytes(MIB))
    assert is_empty(store)
    store.close()


def test_failures_name_the_operation_and_carry_the_code(path: Path) -> None:
    store = BackingStore(path)
    path.write_bytes(b"")
    with pytest.raises(StoreFailed, match=r"cannot read 4096 bytes at 8192 of the store .*store\.img") as failed:
        store.read(8192, BLOCK)
    assert failed.value.errno == errno.EIO
    store.close()


def test_read_nowait_gives_data_or_none_but_never_wrong_data(path: Path) -> None:
    store = BackingStore(path)
    data = os.urandom(64 * BLOCK)
    store.write(BLOCK, data)
    store.sync()
    os.posix_fadvise(store.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    cold = store.read_nowait(BLOCK, len(data))
    assert cold is None or cold == data
    assert store.read(BLOCK, len(data)) == data
    assert store.read_nowait(BLOCK, len(data)) == data
    store.close()


operations = st.tuples(
    st.sampled_from(["write", "discard", "zero"]), st.integers(0, 63), st.integers(1, 16), st.integers(1, 255)
)


@given(st.lists(operations, max_size=12))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_mixture_reads_as_a_plain_file_would(tmp_path: Path, mixture: list[tuple[str, int, int, int]]) -> None:
    path = tmp_path / "mixed.img"
    path.unlink(missing_ok=True)
    create_sparse(path, 64 * BLOCK)
    store, model = BackingStore(path), bytearray(64 * BLOCK)
    try:
        for kind, first, count, byte in mixture:
            offset, length = first * BLOCK, min(count, 64 - first) * BLOCK
            if kind == "write":
                store.write(offset, bytes([byte]) * length)
                model[offset : offset + length] = bytes([byte]) * length
            else:
                (store.discard if kind == "discard" else store.zero)(offset, length)
                model[offset : offset + length] = bytes(length)
        assert store.read(0, store.size) == model
        # What data_ranges leaves out reads as zeroes; it says nothing twice and nothing outside.
        end = 0
        for offset, length in store.data_ranges():
            assert offset >= end
            assert not any(model[end:offset])
            end = offset + length
        assert end <= store.size
        assert not any(model[end:])
        assert is_empty(store) == (not any(model))
    finally:
        store.close()


@pytest.mark.root
def test_a_block_device_is_claimed_and_zeroed(path: Path) -> None:
    with loop_device(path) as device:
        store = BackingStore(device)
        assert (store.size, store.is_block) == (4 * MIB, True)
        assert list(store.data_ranges(MIB, 2 * MIB)) == [(MIB, MIB)]
        store.write(0, b"x" * 4 * MIB)
        store.discard(MIB, MIB)
        store.zero(2 * MIB + 512, 512)
        store.sync()
        with pytest.raises(StoreError, match="in use"):
            BackingStore(device, wait=0.1)
        store.close()
        expected = bytearray(b"x" * 4 * MIB)
        expected[MIB : 2 * MIB] = bytes(MIB)
        expected[2 * MIB + 512 : 2 * MIB + 1024] = bytes(512)
        assert path.read_bytes() == expected


@pytest.mark.root
def test_a_disk_that_another_process_locks_for_a_moment_is_waited_for(path: Path) -> None:
    """As udevd does with each disk that was closed after writing: between two roles, or at a start."""
    with loop_device(path) as device:
        udev = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(udev, fcntl.LOCK_SH)
        with pytest.raises(StoreError, match="in use"):
            BackingStore(device, wait=0.1)
        timer = threading.Timer(0.3, os.close, (udev,))
        timer.start()
        BackingStore(device).close()
        timer.join()
