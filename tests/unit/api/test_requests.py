"""Requests: each is read back as it was sent, and what is none is refused in a sentence that says why."""

from __future__ import annotations

import json

import pytest

from dkrepl.api import requests
from dkrepl.errors import UsageError

WHOLE: list[requests.Request] = [
    requests.Status(),
    requests.Events(since=12.5, follow=True),
    requests.Pause(targets=("beta",)),
    requests.Resume(targets=("beta", "gamma")),
    requests.Resync(targets=("beta",), full=True),
    requests.Verify(targets=("beta",)),
    requests.Intent(target="beta"),
    requests.Promote(dry_run=True, force="1a2b3c4d", fenced=("alpha",)),
    requests.Demote(),
    requests.Switchover(to="beta"),
    requests.Resolve(keep="beta", discard=True),
    requests.Reload(),
    requests.Clear(verdict="store-failed"),
    requests.Adopt(fenced=("beta", "gamma")),
    requests.Descriptions(),
]


def test_every_kind_of_request_is_read_back_as_it_was_sent() -> None:
    assert {type(request) for request in WHOLE} == set(requests.KINDS)
    for request in WHOLE:
        assert requests.decode(requests.encode(request)) == request


NEEDED: dict[type[requests.Request], dict[str, str]] = {
    requests.Switchover: {"to": "beta"},
    requests.Resolve: {"keep": "beta"},
    requests.Clear: {"verdict": "store-failed"},
}


@pytest.mark.parametrize("kind", requests.KINDS, ids=requests.command_of)
def test_what_is_not_asked_for_is_not_sent(kind: type[requests.Request]) -> None:
    """So that an older daemon refuses only those new fields that are used."""
    needed = NEEDED.get(kind, {})
    assert json.loads(requests.encode(kind(**needed))) == {"command": requests.command_of(kind), **needed}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "names no command"),
        (b'{"command": 7}', "names no command"),
        (b'{"command": "format"}', "knows no command 'format'; it knows status, events, pause"),
        (b'{"command": "pause", "targets": "beta"}', r"the request pause .* `\$.targets`"),
        (b'{"command": "pause", "targets": [1]}', r"the request pause .* `\$.targets\[0\]`"),
        (b'{"command": "switchover"}', "missing required field `to`"),
        (b'{"command": "clear", "verdict": "guilty"}', "'guilty'"),
        (b'{"command": "events", "since": "10m"}', r"`\$.since`"),
        (b'{"command": "promote", "only_if_safe": true}', "unknown field `only_if_safe`"),
    ],
)
def test_what_is_no_request_is_refused_with_the_reason(line: bytes, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        requests.decode(line)
