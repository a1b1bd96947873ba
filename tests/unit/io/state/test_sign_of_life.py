"""What a successor learns of its predecessor's last sign of life, over the descriptor store of a service manager."""

from __future__ import annotations

import os

import pytest

from dkrepl.io.state import sign_of_life
from dkrepl.io.state.sign_of_life import SignOfLife
from dkrepl.io.systemd import fd_store


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A service manager that holds what it is given, and gives it to the next daemon."""
    held: dict[str, int] = {}

    def keep(name: str, fd: int) -> bool:
        held[name] = os.dup(fd)
        return True

    monkeypatch.setattr(fd_store, "keep", keep)
    monkeypatch.setattr(fd_store, "take", lambda name: (name, os.dup(held[name])) if name in held else None)
    return held


def test_without_a_predecessor_nothing_is_known(kept: dict[str, int]) -> None:
    assert SignOfLife().age is None


def test_a_predecessor_that_never_served_left_no_sign(kept: dict[str, int]) -> None:
    SignOfLife()
    assert SignOfLife().age is None


def test_the_age_is_the_time_since_the_last_sign(kept: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(sign_of_life, "boot_seconds", lambda: now)
    SignOfLife().show()
    now = 1003.5
    successor = SignOfLife()
    assert successor.age == 3.5
    successor.show()
    now = 1004.0
    assert SignOfLife().age == 0.5
