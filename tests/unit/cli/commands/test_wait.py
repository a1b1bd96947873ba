"""`dkrepl wait insync`: it returns when the targets are in sync, and says who is not when time is up."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.unit.cli.fake_daemon import Cli, FakeDaemon, source_status, target_status


def all_in_sync() -> dict[str, Any]:
    status = source_status()
    status["targets"][1].update(state="InSync", resync=None, reason=None)
    return status


def test_it_returns_as_soon_as_all_targets_are_in_sync(cli: Cli) -> None:
    answers = [source_status(), source_status(), all_in_sync()]
    fake: FakeDaemon = cli.daemon(lambda _: [{"ok": answers[min(len(fake.requests), len(answers)) - 1]}])
    code, out, err = cli.run("wait", "insync", "r0", "--timeout", "60s")
    assert (code, err) == (0, "")
    assert out.startswith("r0: beta, gamma in sync after ")
    assert len(fake.requests) == 3


def test_only_the_named_targets_are_waited_for(cli: Cli) -> None:
    cli.daemon({"ok": source_status()})
    code, out, _ = cli.run("wait", "insync", "r0", "beta", "--json")
    assert code == 0
    assert json.loads(out)["in_sync"] == ["beta"]


def test_when_time_is_up_it_says_who_is_in_what_state_and_why(cli: Cli) -> None:
    status = source_status()
    status["targets"][0].update(state="Disconnected", reason="no sign of life for 7 s")
    cli.daemon({"ok": status})
    code, out, err = cli.run("wait", "insync", "r0", "--timeout", "0s")
    assert (code, out) == (7, "")
    assert err == (
        "dkrepl: mirror r0 is not in sync after 0 s: beta is Disconnected (no sign of life for 7 s); "
        "gamma is Resyncing (it was away for 12 s, 42 %, 5.8 s left)\n"
    )


def test_a_daemon_that_starts_late_is_waited_for(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.describe()
    naps: list[float] = []

    def start_it(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            cli.daemon({"ok": all_in_sync()})

    monkeypatch.setattr(time, "sleep", start_it)
    assert cli.run("wait", "insync", "r0")[0] == 0
    assert len(naps) == 2


def test_a_daemon_that_never_starts_is_named_as_the_reason(cli: Cli) -> None:
    cli.describe()
    code, _, err = cli.run("wait", "insync", "r0", "--timeout", "0")
    assert code == 7
    assert "the daemon of mirror r0 is not running: start it with" in err


def test_a_target_that_does_not_exist_is_not_waited_for(cli: Cli) -> None:
    cli.daemon({"ok": source_status()})
    code, _, err = cli.run("wait", "insync", "r0", "delta", "--timeout", "1h")
    assert code == 6
    assert "no target 'delta'" in err
    assert "beta, gamma" in err


def test_on_a_target_it_waits_for_that_target(cli: Cli) -> None:
    cli.daemon({"ok": target_status()})
    assert cli.run("wait", "insync", "r0")[1].startswith("r0: beta in sync")


def test_a_timeout_that_is_none_is_refused(cli: Cli) -> None:
    code, _, err = cli.run("wait", "insync", "r0", "--timeout", "soon")
    assert code == 2
    assert "--timeout is 'soon', but it must be a duration" in err
