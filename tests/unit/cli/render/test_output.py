"""What a command that did something prints."""

from __future__ import annotations

import json

from tests.unit.cli.fake_daemon import Cli


def test_the_states_that_targets_are_left_in_are_shown(cli: Cli) -> None:
    cli.daemon({"ok": {"targets": [{"name": "beta", "state": "Paused"}, {"name": "gamma", "state": "Paused"}]}})
    assert cli.run("pause", "r0")[1] == "r0: paused all targets (now: beta Paused, gamma Paused)\n"


def test_what_was_done_is_said_in_the_daemons_words_if_it_has_some(cli: Cli) -> None:
    cli.daemon({"ok": {"message": "gamma was paused already"}})
    assert cli.run("pause", "r0", "gamma")[1] == "gamma was paused already\n"
    assert json.loads(cli.run("pause", "r0", "--json")[1]) == {"message": "gamma was paused already"}
