"""`dkrepl status`: of which mirrors, in JSON, and what is said of an answer that makes no sense."""

from __future__ import annotations

import json

import pytest

from dkrepl.errors import ProtocolError
from tests.unit.cli.fake_daemon import Cli, source_status, target_status


def test_json_is_the_daemons_answer_with_all_that_a_newer_one_has_added(cli: Cli) -> None:
    answer = source_status(key_of_the_future=[1, 2])
    answer["targets"][0]["temperature"] = {"degrees": 36.6}
    answer["targets"][0]["window"]["colour"] = "red"
    cli.daemon({"ok": answer})
    code, out, err = cli.run("status", "r0", "--json")
    assert (code, json.loads(out), err) == (0, answer, "")


def test_the_table_passes_over_what_a_newer_daemon_has_added(cli: Cli) -> None:
    newer, older = source_status(key_of_the_future=[1, 2]), source_status()
    newer["targets"][0]["temperature"] = {"degrees": 36.6}
    fake = cli.daemon({"ok": newer})
    shown = cli.run("status", "r0")
    fake.answer = [{"ok": older}]
    assert shown == cli.run("status", "r0")


def test_the_only_mirror_need_not_be_named(cli: Cli) -> None:
    cli.describe("r0")
    cli.daemon({"ok": source_status()})
    assert cli.run("status")[1].startswith("r0  source on alpha")
    assert json.loads(cli.run("status", "--json")[1])["mirror"] == "r0"


def test_without_a_mirror_all_are_shown_and_one_that_is_down_hides_none(cli: Cli) -> None:
    for mirror in ("a0", "r0", "z0"):
        cli.describe(mirror)
    cli.daemon({"ok": source_status()})
    cli.daemon({"ok": target_status(mirror="z0")}, mirror="z0")
    code, out, err = cli.run("status")
    assert code == 4
    assert "r0  source on alpha" in out
    assert "z0  target on beta" in out
    assert err == "dkrepl: the daemon of mirror a0 is not running: start it with `systemctl start dkrepl@a0`\n"
    code, out, err = cli.run("status", "--json")
    assert (code, err) == (4, "")
    mirrors = json.loads(out)["mirrors"]
    assert [entry["mirror"] for entry in mirrors] == ["a0", "r0", "z0"]
    assert mirrors[0]["error"]["name"] == "DaemonNotRunning"


NONSENSE: tuple[object, ...] = (
    {"mirror": "r0"},
    {},
    [],
    None,
    source_status(targets=[{"name": "beta"}]),
    source_status(size="1 GiB"),
)


@pytest.mark.parametrize("answer", NONSENSE, ids=range(len(NONSENSE)))
def test_a_status_without_sense_is_refused_with_a_sentence(cli: Cli, answer: object) -> None:
    cli.daemon({"ok": answer})
    code, out, err = cli.run("status", "r0")
    assert (code, out) == (ProtocolError.exit_code, "")
    assert "does not understand" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("answer", NONSENSE, ids=range(len(NONSENSE)))
def test_a_status_without_sense_is_not_given_to_scripts(cli: Cli, answer: object) -> None:
    cli.daemon({"ok": answer})
    code, out, err = cli.run("status", "r0", "--json")
    assert (code, err) == (ProtocolError.exit_code, "")
    assert json.loads(out).keys() == {"error"}
    assert json.loads(out)["error"]["name"] == "ProtocolError"
