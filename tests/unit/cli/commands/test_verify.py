"""`dkrepl verify`: equal, different, and where."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dkrepl.api import requests
from tests.unit.cli.fake_daemon import Cli

EQUAL = {"name": "beta", "equal": True, "compared_bytes": 1 << 30, "ranges": []}


def different(count: int) -> dict[str, Any]:
    ranges = [{"offset": n << 20, "length": 65536} for n in range(count)]
    return {"name": "gamma", "equal": False, "compared_bytes": 1 << 30, "ranges": ranges}


def test_equal_copies_are_said_to_be_equal(cli: Cli) -> None:
    fake = cli.daemon(
        {"progress": {"target": "beta", "done_bytes": 5, "total_bytes": 10}}, {"ok": {"targets": [EQUAL]}}
    )
    assert cli.run("verify", "r0", "beta") == (0, "beta: equal, 1 GiB compared\n", "")
    assert fake.requests == [requests.Verify(targets=("beta",))]


def test_copies_that_differ_end_with_code_8_and_the_ranges(cli: Cli) -> None:
    cli.daemon({"ok": {"targets": [EQUAL, different(2)]}})
    code, out, err = cli.run("verify", "r0")
    assert (code, out) == (8, "beta: equal, 1 GiB compared\n")
    assert err == (
        "dkrepl: copies of mirror r0 differ from the source: gamma (65536 bytes at 0, 65536 bytes at 1048576): "
        "repair with `dkrepl resync r0 --full gamma`\n"
    )


def test_many_ranges_are_counted_for_people_and_whole_in_json(cli: Cli) -> None:
    cli.daemon({"ok": {"targets": [different(500)]}})
    assert "490 more ranges" in cli.run("verify", "r0")[2]
    code, out, err = cli.run("verify", "r0", "--json")
    assert (code, err) == (8, "")
    answer = json.loads(out)
    assert len(answer["targets"][0]["ranges"]) == 500
    assert answer["error"]["name"] == "CopiesDiffer"


NONSENSE: tuple[object, ...] = ({}, [], {"targets": [{"name": "beta"}]}, None)


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("answer", NONSENSE, ids=str)
def test_an_answer_without_sense_is_refused(cli: Cli, answer: object, options: list[str]) -> None:
    cli.daemon({"ok": answer})
    assert cli.run("verify", "r0", *options)[0] == 11
