"""How a request is put on the command line of a node."""

from __future__ import annotations

import pytest

from dkrepl.api import requests
from dkrepl.api.requests import Request
from tests.lab.container_node import command_line


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (requests.Status(), "status r0"),
        (requests.Pause(targets=("beta", "gamma")), "pause r0 beta gamma"),
        (requests.Resync(targets=("beta",), full=True), "resync r0 beta --full"),
        (requests.Promote(), "promote r0"),
        (requests.Promote(dry_run=True), "promote r0 --dry-run"),
        (requests.Promote(force="1a2b3c4d"), "promote r0 --force 1a2b3c4d"),
        (requests.Promote(fenced=("alpha", "beta")), "promote r0 --fenced alpha --fenced beta"),
        (requests.Switchover(to="beta"), "switchover r0 --to beta"),
        (requests.Resolve(keep="alpha"), "resolve r0 --keep alpha"),
    ],
    ids=str,
)
def test_a_request_is_a_command(request_: Request, words: str) -> None:
    assert command_line(request_) == words.split()
