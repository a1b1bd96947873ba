"""What is saved aside stays: the next copy takes nothing away but pieces of one that never ended."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from dkrepl.errors import StoreError
from dkrepl.io.store import diverged, diverged_copy
from dkrepl.io.store.sparse_file import create_sparse
from dkrepl.io.store.store import BackingStore

SIZE = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> BackingStore:
    create_sparse(tmp_path / "store", SIZE)
    opened = BackingStore(tmp_path / "store")
    opened.write(0, b"a" * 4096)
    return opened


def keep(tmp_path: Path, store: BackingStore) -> diverged.Saved:
    return diverged_copy.save(tmp_path, store, "r0", SIZE, "g1", "alpha", [(0, 4096)])


def test_two_copies_of_the_same_second_are_both_kept(
    tmp_path: Path, store: BackingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1e9)
    names = [keep(tmp_path, store).name]
    store.write(0, b"b" * 4096)
    names.append(keep(tmp_path, store).name)
    assert {kept.name for kept in diverged.found(tmp_path)} == set(names)
    for name, byte in zip(names, b"ab", strict=True):
        diverged_copy.export(tmp_path, name, tmp_path / name)
        assert (tmp_path / name).read_bytes()[:4096] == bytes([byte]) * 4096


def test_the_piece_of_a_copy_that_never_ended_is_removed_by_the_next_one(tmp_path: Path, store: BackingStore) -> None:
    kept = keep(tmp_path, store)
    piece = diverged.directory(tmp_path) / "20200101T000000Z-g0.img"
    piece.write_bytes(b"x")
    keep(tmp_path, store)
    assert not piece.exists()
    assert (diverged.directory(tmp_path) / f"{kept.name}.img").exists()


def test_what_would_leave_the_records_no_room_is_refused_before_anything_is_written(
    tmp_path: Path, store: BackingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs(tmp_path)
    nearly_full = SimpleNamespace(f_blocks=real.f_blocks, f_frsize=4096, f_bavail=(64 << 20) // 4096)
    monkeypatch.setattr("os.statvfs", lambda path: nearly_full)
    with pytest.raises(StoreError, match="mount or link another file system there"):
        keep(tmp_path, store)
    assert not list(diverged.directory(tmp_path).iterdir())
