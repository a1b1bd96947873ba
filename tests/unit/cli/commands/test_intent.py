"""`dkrepl intent show`: which blocks may differ, and how many."""

from __future__ import annotations

import json

import pytest

from dkrepl.api import requests
from tests.unit.cli.fake_daemon import Cli


def test_intent_shows_how_much_may_differ_and_where(cli: Cli) -> None:
    log = {"name": "gamma", "block": 65536, "blocks": 16384, "dirty_blocks": 30, "dirty_bytes": 30 << 16}
    log |= {"active_extents": 2, "ranges": [{"offset": n << 20, "length": 65536} for n in range(30)]}
    fake = cli.daemon({"ok": {"targets": [log]}})
    code, out, _ = cli.run("intent", "show", "r0", "gamma")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "gamma: 30 of 16384 blocks of 64KiB may differ (1.9 MiB), 2 active extents"
    assert lines[2].split() == ["1048576", "64KiB"]
    assert lines[-1] == "  10 more ranges (--all)"
    assert len(cli.run("intent", "show", "r0", "--all")[1].splitlines()) == 31
    assert json.loads(cli.run("intent", "show", "r0", "--json")[1]) == {"targets": [log]}
    assert fake.requests == [requests.Intent(target="gamma"), requests.Intent(), requests.Intent()]


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("answer", [{}, [], {"targets": [{"name": "beta"}]}, None], ids=str)
def test_an_answer_without_sense_is_refused(cli: Cli, answer: object, options: list[str]) -> None:
    cli.daemon({"ok": answer})
    assert cli.run("intent", "show", "r0", *options)[0] == 11
