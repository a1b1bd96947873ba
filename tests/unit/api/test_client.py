"""The control socket as the command line speaks it: every way it can fail has its sentence and exit code."""

from __future__ import annotations

import json
import socket

import pytest

from dkrepl.api import client, requests
from dkrepl.errors import DkreplError
from tests.unit.cli.fake_daemon import Cli, source_status


def test_a_request_is_one_json_line_with_its_arguments(cli: Cli) -> None:
    fake = cli.daemon({"ok": {"targets": []}})
    for arguments in ["pause", "r0", "beta"], ["resume", "r0"], ["resync", "r0", "--full", "beta", "gamma"]:
        assert cli.run(*arguments)[0] == 0
    assert fake.requests == [
        requests.Pause(targets=("beta",)),
        requests.Resume(),
        requests.Resync(full=True, targets=("beta", "gamma")),
    ]


def test_a_daemon_that_is_not_running_is_answered_with_how_to_start_it(cli: Cli) -> None:
    cli.describe()
    code, out, err = cli.run("status", "r0")
    assert (code, out) == (4, "")
    assert err == "dkrepl: the daemon of mirror r0 is not running: start it with `systemctl start dkrepl@r0`\n"


def test_a_socket_left_by_a_killed_daemon_counts_as_not_running(cli: Cli) -> None:
    cli.describe()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(cli.paths.socket("r0")))
    assert cli.run("status", "r0")[0] == 4


def test_a_daemon_that_accepts_and_never_answers_has_a_deadline(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SILENCE", 0.2)
    cli.daemon(None)
    code, _, err = cli.run("status", "r0")
    assert code == 7
    assert "the daemon of mirror r0 did not answer for 0.2 s: look at `journalctl -u dkrepl@r0`" in err


def test_an_answer_that_trickles_in_without_a_line_has_the_same_deadline(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SILENCE", 0.2)
    cli.daemon(b'{"ok": ', None)
    assert cli.run("status", "r0")[0] == 7


def test_signs_of_life_hold_the_deadline_off_and_are_not_shown(cli: Cli) -> None:
    cli.daemon(*[{"progress": None}] * 3, {"progress": {}}, {"ok": {}})
    assert cli.run("events", "r0") == (0, "", "")


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello\n",
        b"\xff\xfe\n",
        b"[]\n",
        b"{}\n",
        b"\n",
        b'{"ok": 1, "error": {"code": 1, "name": "x", "message": "y"}}\n',
        b'{"okay": {}}\n',
        b'{"error": "no"}\n',
        b"[" * 100000 + b"\n",
    ],
)
def test_a_garbage_answer_is_one_sentence(cli: Cli, garbage: bytes) -> None:
    cli.daemon(garbage)
    code, out, err = cli.run("status", "r0")
    assert (code, out) == (11, "")
    assert "does not understand" in err
    assert "systemctl restart dkrepl@r0" in err
    assert err.count("\n") == 1


def test_an_endless_line_is_not_read_to_its_end(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LONGEST_LINE", 1 << 16)
    cli.daemon(b"x" * (1 << 20))
    code, _, err = cli.run("status", "r0")
    assert code == 11
    assert "a line beyond 65536 bytes" in err


def test_a_daemon_that_dies_in_the_middle_is_said_so(cli: Cli) -> None:
    cli.daemon({"progress": {"target": "beta"}}, b'{"ok"')
    code, _, err = cli.run("verify", "r0")
    assert code == 4
    assert "went away before it answered" in err


@pytest.mark.parametrize("kind", DkreplError.__subclasses__())
def test_an_error_of_the_daemon_keeps_its_sentence_name_and_code(cli: Cli, kind: type[DkreplError]) -> None:
    cli.daemon({"error": {"code": kind.exit_code, "name": kind.__name__, "message": "beta is away"}})
    assert cli.run("promote", "r0") == (kind.exit_code, "", "dkrepl: beta is away\n")
    code, out, err = cli.run("promote", "r0", "--json")
    assert (code, err) == (kind.exit_code, "")
    assert json.loads(out) == {"error": {"code": kind.exit_code, "name": kind.__name__, "message": "beta is away"}}


def test_an_error_of_a_newer_daemon_is_unexpected_but_shown(cli: Cli) -> None:
    cli.daemon({"error": {"code": 99, "name": "Novel", "message": "something new"}})
    assert cli.run("promote", "r0") == (1, "", "dkrepl: something new\n")


def test_a_path_too_long_for_a_socket_is_one_sentence(cli: Cli) -> None:
    code, _, err = cli.run("--run", "/tmp/" + "x" * 200, "status", "r0")
    assert code == 12
    assert "too long" in err


def test_two_requests_do_not_disturb_each_other(cli: Cli) -> None:
    cli.daemon(lambda request: [{"ok": source_status()} if isinstance(request, requests.Status) else None])
    assert cli.run("status", "r0")[0] == cli.run("status", "r0")[0] == 0
