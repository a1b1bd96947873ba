"""Attaching a loop device: what an administrator is told when the kernel cannot."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from dkrepl.errors import HostError
from dkrepl.io.block import loop, loop_numbers


def refusal(patch: pytest.MonkeyPatch, tmp_path: Path, release: str, code: int) -> str:
    """Return what ``attach`` says on a kernel of that release, which fails its call with ``code``."""
    backing, node = tmp_path / "r0.device", tmp_path / "loop7"
    backing.touch()
    node.touch()
    patch.setattr(os, "O_DIRECT", 0)  # not every file system for temporary files has it
    patch.setattr(os, "uname", lambda: SimpleNamespace(release=release))
    patch.setattr(loop_numbers, "free_number", lambda stuck: 7)
    patch.setattr(loop_numbers, "node", lambda number: node)

    def ioctl(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    patch.setattr(fcntl, "ioctl", ioctl)
    with pytest.raises(HostError) as failed:
        loop.attach(backing)
    return str(failed.value)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTTY])
def test_an_old_kernel_is_named_with_the_one_that_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int
) -> None:
    said = refusal(monkeypatch, tmp_path, "5.4.0-150-generic", code)
    assert said == "Linux 5.4.0-150-generic cannot attach a loop device as dkrepl needs it: use Linux 5.8 or later"


@pytest.mark.parametrize(
    ("release", "code"), [("5.8.0", errno.EINVAL), ("6.1.0-13-amd64", errno.ENOTTY), ("5.4.0", errno.EIO)]
)
def test_any_other_failure_is_told_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, release: str, code: int
) -> None:
    said = refusal(monkeypatch, tmp_path, release, code)
    assert said == f"cannot attach /dev/loop7 to {tmp_path / 'r0.device'} ({os.strerror(code)})"
