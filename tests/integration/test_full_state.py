"""A bitmap on a file system without space for it: bits are set all the same, and written when there is space again."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dkrepl.config.limits import DEFAULT
from dkrepl.core.actions import Commit
from dkrepl.core.lineage.metadata import FORMAT, NodeMetadata
from dkrepl.daemon.host import HostState
from dkrepl.daemon.intent_store import IntentStore
from dkrepl.errors import StateDirectoryError
from tests.integration.harness.applications import run

pytestmark = pytest.mark.root

MIB = 1 << 20
RECORD = NodeMetadata(
    format=FORMAT,
    mirror="r0",
    mirror_id="0" * 32,
    node="alpha",
    role="source",
    size=1 << 40,
    block=64 << 10,
    extent=4 << 20,
)
STORE = cast(Any, SimpleNamespace(sync=lambda: None))


@contextlib.contextmanager
def _mounted(directory: Path, kind: str) -> Iterator[Path]:
    if kind != "tmpfs" and shutil.which(f"mkfs.{kind}") is None:
        pytest.skip(f"mkfs.{kind} is not installed, so that no {kind} can be filled")
    state = directory / "state"
    state.mkdir()
    if kind == "tmpfs":
        run("mount", "-t", "tmpfs", "-o", "size=8m", "dkrepl-test", state)
    else:
        image = directory / "image"
        image.touch()
        os.truncate(image, (320 if kind == "xfs" else 32) * MIB)
        run(f"mkfs.{kind}", *(("-q", "-m", "reflink=1") if kind == "xfs" else ("-q", "-m", "0")), image)
        run("mount", "-o", "loop", image, state)
    try:
        yield state
    finally:
        run("umount", state)


def _opened(state: Path, record: NodeMetadata = RECORD) -> IntentStore:
    return IntentStore(HostState(state, state.with_name("bits")), record, ["beta"], STORE, lambda *_: None)


def _fill(ballast: Path) -> None:
    """Leave no space: in large pieces, then in small ones."""
    with ballast.open("wb") as file:
        for step in (16 * MIB, MIB, 1 << 16, 4096):
            with contextlib.suppress(OSError):
                while True:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), step)
    os.sync()


def _set_bits_without_space(state: Path) -> None:
    opened = _opened(state)
    ballast = state / "ballast"
    _fill(ballast)
    bitmap = opened.files["beta"].bitmap
    blocks = range(0, bitmap.blocks, 1 << DEFAULT.piece_shift)
    for block in blocks:
        bitmap.mark(block, block + 1)
    for number in range(2):
        with pytest.raises(StateDirectoryError, match="No space left on device"):
            opened.commit(Commit(number, sync_bitmaps=True), STORE)
    assert bitmap.count() == len(blocks)
    ballast.unlink()
    os.sync()
    opened.commit(Commit(3, sync_bitmaps=True), STORE)
    content = (state / "intent" / "beta.bitmap").read_bytes()
    assert [content[4096 + block // 8] for block in blocks] == [1] * len(blocks)
    opened.close()


def _ends_well(work: Callable[[Path], None], state: Path) -> None:
    """Run in a process of its own: a store to memory that faults would end it by a signal."""
    process = multiprocessing.get_context("fork").Process(target=work, args=(state,))
    process.start()
    process.join(60)
    assert process.exitcode == 0


@pytest.mark.parametrize(
    ("kind", "copy"),
    [("tmpfs", "--sparse=always"), ("ext4", "--sparse=always"), ("xfs", "--reflink=always")],
    ids=["sparse-tmpfs", "sparse-ext4", "reflinked-xfs"],
)
def test_bits_are_set_without_space_and_written_when_there_is_some(tmp_path: Path, kind: str, copy: str) -> None:
    with _mounted(tmp_path, kind) as state:
        _opened(state).close()
        # As after a restore, or under a snapshot: what was allocated when it was made is allocated no more.
        file = state / "intent" / "beta.bitmap"
        original = file.with_suffix(".original")
        file.rename(original)
        run("cp", copy, original, file)
        if kind != "xfs":
            original.unlink()
        os.sync()
        _ends_well(_set_bits_without_space, state)
