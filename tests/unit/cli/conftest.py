"""Hosts on which the command line is tried: a node of the mirror, and one that is none."""

from __future__ import annotations

import pytest


@pytest.fixture
def on_alpha(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "alpha")


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "laptop")
