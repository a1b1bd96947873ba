"""What a command that did something prints."""

from __future__ import annotations

import pytest

from tests.unit.cli.fake_daemon import Cli


def test_the_states_that_targets_are_left_in_are_shown(cli: Cli) -> None:
    cli.daemon({"ok": {"targets": [{"name": "beta", "state": "Paused"}, {"name": "gamma", "state": "Paused"}]}})
    assert cli.run("pause", "r0")[1] == "r0: paused all targets (now: beta Paused, gamma Paused)\n"


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("answer", [{}, {"targets": [{"name": "beta"}]}, None], ids=str)
def test_an_answer_without_states_is_refused(cli: Cli, answer: object, options: list[str]) -> None:
    cli.daemon({"ok": answer})
    assert cli.run("pause", "r0", *options)[0] == 11


def test_what_came_from_the_daemon_cannot_steer_the_terminal(cli: Cli) -> None:
    cli.daemon({"ok": {"targets": [{"name": "beta\x1b[2J", "state": "Paused"}]}})
    assert "\x1b" not in cli.run("pause", "r0")[1]
