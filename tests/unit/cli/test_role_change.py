"""`dkrepl promote` and `dkrepl demote` return when the node has its new role, or say what it is instead."""

from __future__ import annotations

from typing import Any

import pytest

from dkrepl.api import requests
from dkrepl.api.requests import Request
from dkrepl.cli import role_change
from tests.unit.cli.fake_daemon import Cli, FakeDaemon, source_status, target_status


@pytest.mark.parametrize(
    ("request_", "before", "after", "said"),
    [
        (
            requests.Promote(),
            target_status(),
            source_status(),
            "r0: this node is the source, the device is",
        ),
        (requests.Demote(), source_status(), target_status(), "r0: this node is a target"),
    ],
)
def test_a_change_of_role_is_waited_for(
    cli: Cli, request_: Request, before: dict[str, Any], after: dict[str, Any], said: str
) -> None:
    command = requests.command_of(request_)
    answers = [{}, before, {**after, "state": "Starting"} if command == "promote" else before, after]
    fake: FakeDaemon = cli.daemon(lambda _: [{"ok": answers[len(fake.requests) - 1]}])
    code, out, _ = cli.run(command, "r0")
    assert code == 0
    assert out.startswith(said)
    assert fake.requests == [request_, *[requests.Status()] * 3]


def test_a_role_that_is_not_taken_in_time_is_said_with_what_it_is_instead(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(role_change, "PATIENCE", 0.0)
    cli.daemon(lambda request: [{"ok": target_status() if isinstance(request, requests.Status) else {}}])
    code, _, err = cli.run("promote", "r0", "--force", "0123abcd")
    assert code == 7
    assert "has not become source of mirror r0 within 0 s (it is target, InSync)" in err
