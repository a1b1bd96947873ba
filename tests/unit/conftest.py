"""The command line, for tests of it and of what it asks; and settings for the tests with random input."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.unit.cli.fake_daemon import Cli

# The time an example takes says nothing, for the machine may be busy.
settings.register_profile("dkrepl", deadline=None, print_blob=True)
settings.load_profile("dkrepl")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Give a command line to itself; its directory has a short path, as sockets need."""
    with tempfile.TemporaryDirectory(prefix="dkrepl-") as directory:
        runner = Cli(Path(directory), capsys)
        try:
            yield runner
        finally:
            runner.close()
