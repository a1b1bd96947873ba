"""A file that is replaced holds the old content or the new, whole, and an error is said."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dkrepl.errors import MetadataError
from dkrepl.io.state import durable_file


def test_the_new_content_takes_the_place_of_the_old(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"one", b"", b"x" * 100_000):
        durable_file.replace(path, content)
        assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["file"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_a_crash_left_beside_it_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "file"
    (tmp_path / ".file.new").write_bytes(b"half of something longer than the new content")
    durable_file.replace(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("call", ["fsync", "write", "rename"])
def test_a_failure_leaves_the_old_content_and_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    durable_file.replace(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "rename":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        monkeypatch.setattr(os, call, fail)
    with pytest.raises(MetadataError, match=r"cannot write .*file \(No space left on device\)"):
        durable_file.replace(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    durable_file.replace(path, b"newer")
    assert path.read_bytes() == b"newer"


def test_the_file_is_on_stable_storage_before_its_name_and_its_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, rename = os.fsync, Path.replace

    def synced(fd: int) -> None:
        done.append(f"sync {Path(os.readlink(f'/proc/self/fd/{fd}')).name}")
        sync(fd)

    def renamed(self: Path, target: Path) -> Path:
        done.append(f"rename {self.name} {target.name}")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    durable_file.replace(tmp_path / "file", b"content")
    assert done == ["sync .file.new", "rename .file.new file", f"sync {tmp_path.name}"]


def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match=r"gone/file \(No such file or directory\)"):
        durable_file.replace(tmp_path / "gone" / "file", b"content")
