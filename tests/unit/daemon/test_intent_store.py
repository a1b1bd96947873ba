"""Commits of the intent log: nothing is recorded that rests on bitmaps which are not durable (R1, R2)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from dkrepl.core.actions import Commit
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.daemon.host import HostState
from dkrepl.daemon.intent_store import IntentStore
from dkrepl.errors import MetadataError, StoreError
from dkrepl.io.state import metadata_file
from dkrepl.io.state.activity_file import ActivityFile
from dkrepl.io.state.bitmap_file import BitmapFile

RECORD = NodeMetadata(
    format=3, mirror="r0", mirror_id="m1", node="alpha", role="source", size=1 << 20, block=4096, extent=1 << 15
)


def test_after_a_failed_flush_of_a_bitmap_no_record_is_written_before_it_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = cast(Any, SimpleNamespace(sync=lambda: None))
    opened = IntentStore(HostState(tmp_path, tmp_path / "bits"), RECORD, ["beta"], store, lambda *_: None)
    file = opened.files["beta"]
    right, broken = file.sync, True

    def sync() -> None:
        if broken:
            raise MetadataError("cannot flush the bitmap")
        right()

    monkeypatch.setattr(file, "sync", sync)
    first = msgspec.structs.replace(RECORD, generation="a" * 16)
    with pytest.raises(MetadataError):
        opened.commit(Commit(1, sync_bitmaps=True, metadata=first), store)
    with pytest.raises(MetadataError):  # it would record what rests on the bitmap, too
        opened.commit(Commit(2, metadata=first), store)
    assert metadata_file.read(tmp_path).generation == ""
    broken = False
    opened.commit(Commit(3, metadata=first), store)
    assert metadata_file.read(tmp_path).generation == "a" * 16
    broken = True
    opened.commit(Commit(4, metadata=RECORD), store)  # nothing is owed any more
    monkeypatch.undo()
    opened.close()


def test_a_demoted_source_whose_store_fails_its_first_flush_starts_and_calls_its_copy_inconsistent(
    tmp_path: Path,
) -> None:
    """What it wrote as source may be lost, so all of that is copied back; it does not stay down (R15)."""
    sound = cast(Any, SimpleNamespace(sync=lambda: None))
    opened = IntentStore(HostState(tmp_path, tmp_path / "bits"), RECORD, ["beta"], sound, lambda *_: None)
    active = msgspec.structs.replace(RECORD, generation="a" * 16, store_state="Consistent", generation_at=1.0)
    opened.commit(Commit(1, active=(1, frozenset({2})), metadata=active), sound)
    opened.files["beta"].close()  # as it was killed

    def fails() -> None:
        raise StoreError("the store cannot be flushed (Input/output error)")

    told: list[str] = []
    demoted = msgspec.structs.replace(active, role="target")
    broken = cast(Any, SimpleNamespace(sync=fails))
    again = IntentStore(
        HostState(tmp_path, tmp_path / "bits"), demoted, ["beta"], broken, lambda name, *_: told.append(name)
    )
    assert "store_failed" in told
    assert again.metadata.store_state == "Inconsistent"
    assert metadata_file.read(tmp_path).store_state == "Inconsistent"
    per_extent = RECORD.extent // RECORD.block
    assert list(again.files["beta"].bitmap.runs()) == [(2 * per_extent, 3 * per_extent)]
    assert not again.log.active
    again.close()


def order_of_opening(directory: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return in which order an opening makes the record of active extents durable, and the bitmap."""
    done: list[str] = []
    open_record, sync_bitmap = ActivityFile.open, BitmapFile.sync

    def open_and_note(file: ActivityFile) -> None:
        done.append("record")
        open_record(file)

    def sync_and_note(file: BitmapFile) -> None:
        done.append("bitmap")
        sync_bitmap(file)

    monkeypatch.setattr(ActivityFile, "open", open_and_note)
    monkeypatch.setattr(BitmapFile, "sync", sync_and_note)
    store = cast(Any, SimpleNamespace(sync=lambda: None))
    opened = IntentStore(HostState(directory, directory / "bits"), RECORD, ["beta"], store, lambda *_: None)
    monkeypatch.undo()
    opened.close()
    return done


def test_what_is_marked_as_the_record_says_is_marked_once_that_record_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bits change only where an extent is active: a record lost with the power would make them look damaged (R9)."""
    order_of_opening(tmp_path, monkeypatch)
    assert order_of_opening(tmp_path, monkeypatch)[:2] == ["record", "bitmap"]


def test_a_record_that_is_damaged_is_replaced_once_the_bitmaps_name_all_that_it_could_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_of_opening(tmp_path, monkeypatch)
    (tmp_path / "intent" / "active").write_bytes(b"garbage")
    assert order_of_opening(tmp_path, monkeypatch)[:2] == ["bitmap", "record"]
