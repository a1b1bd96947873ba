"""The command line as a process: help, usage errors, signals, pipes, and what it costs to start."""

from __future__ import annotations

import json
import os
import pkgutil
import pty
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dkrepl import __version__
from dkrepl.api import requests
from dkrepl.cli import commands
from dkrepl.cli.app import SECTIONS
from dkrepl.cli.main import exit_code
from dkrepl.errors import table
from tests.lab.waiting import wait_for
from tests.unit.cli.fake_daemon import Cli, source_status

COMMAND = [sys.executable, "-m", "dkrepl.cli.main"]
LEAVES = [
    *(
        name
        for names in SECTIONS.values()
        for name in names
        if name not in ("key", "config", "wait", "intent", "diverged")
    ),
    *("key generate", "key show", "key replace"),
    *("config check", "config example", "wait insync", "intent show"),
    *("diverged list", "diverged export", "diverged drop"),
]


def test_help_shows_every_command_in_working_order(cli: Cli) -> None:
    code, out, _ = cli.run("--help")
    assert code == 0
    names = [name for names in SECTIONS.values() for name in names]
    places = [out.index(f"\n  {name} ") for name in names]
    assert places == sorted(places)
    modules = {module.name.replace("_", "-") for module in pkgutil.iter_modules(commands.__path__)}
    assert modules - {"config-peers"} == set(names)


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, part in ([], "Set up a mirror"), (["config"], "check"), (["wait"], "insync"):
        assert exit_code(arguments) == 2
        out, err = capsys.readouterr()
        assert (part in out, err) == (True, "")


@pytest.mark.parametrize("command", LEAVES)
def test_the_help_of_a_command_shows_an_example(cli: Cli, command: str) -> None:
    code, out, _ = cli.run(*command.split(), "--help")
    assert code == 0
    assert "Example" in out
    assert f"    dkrepl {command}" in out or f"&& dkrepl {command}" in out


def test_version_is_the_packages(cli: Cli) -> None:
    assert cli.run("--version") == (0, f"dkrepl {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "part", "where"),
    [
        (["stauts"], "No such command", "dkrepl"),
        (["wait", "insnyc"], "No such command", "dkrepl wait"),
        (["status", "--jsn"], "No such option", "dkrepl status"),
        (["status", "r0", "r1"], "unexpected extra argument", "dkrepl status"),
        (["events", "--since"], "requires an argument", "dkrepl events"),
        (["config", "check", "--as"], "requires an argument", "dkrepl config check"),
        (["clear", "r0"], "Choose from: store-failed, forced-promotion", "dkrepl clear"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_one_sentence_with_where_to_look(
    cli: Cli, arguments: list[str], part: str, where: str
) -> None:
    code, out, err = cli.run(*arguments)
    assert (code, out) == (2, "")
    assert part in err
    assert err.startswith("dkrepl: ")
    assert err.endswith(f" (see `{where} --help`)\n")
    assert err.count("\n") == 1
    code, out, err = cli.run(arguments[0], "--json", *arguments[1:])
    assert (code, err) == (2, "")
    assert json.loads(out)["error"]["name"] == "UsageError"


def test_a_path_that_is_not_utf_8_is_named_in_the_json_of_an_error(cli: Cli) -> None:
    name = os.fsdecode(b"/nowhere/\xff.toml")
    code, out, err = cli.run("config", "check", name, "--json")
    assert (code, err) == (6, "")
    assert name in json.loads(out)["error"]["message"]


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "1>&- 2>&-"])
def test_a_stream_that_the_caller_has_closed_changes_no_exit_code(cli: Cli, closed: str) -> None:
    words = shlex.join([*COMMAND, *cli.globals, "status", "r0", "--json"])
    done = subprocess.run(f"exec {words} {closed}", shell=True, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (6, "")


def test_exit_codes_lists_what_the_errors_say(cli: Cli) -> None:
    rows = json.loads(cli.run("exit-codes", "--json")[1])["exit_codes"]
    assert [(row["code"], row["name"], row["meaning"]) for row in rows[1:]] == table()
    assert rows[0]["code"] == 0
    assert len(cli.run("exit-codes")[1].splitlines()) == len(table()) + 1


def test_a_bug_is_one_sentence_and_its_trace_is_asked_for(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("dkrepl.cli.commands.exit_codes.table", broken)
    assert cli.run("exit-codes") == (
        1,
        "",
        "dkrepl: unexpected ZeroDivisionError: a bug (run again with --debug for the traceback)\n",
    )
    code, _, err = cli.run("--debug", "exit-codes")
    assert code == 1
    assert "Traceback" in err


def test_the_exit_codes_in_the_documentation_are_those_of_the_errors() -> None:
    text = (Path(__file__).parents[3] / "docs" / "reference" / "exit-codes.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    documented = [(int(row[0]), row[1].strip("`"), row[2]) for row in rows if len(row) == 3 and row[0].isdigit()]
    assert documented == [(0, "", "Done."), *table()]


@pytest.mark.parametrize("arguments", [["status", "r0"], ["status", "r0", "--json"], ["pause", "r0"]])
def test_what_is_not_drawn_for_people_starts_without_rich(cli: Cli, arguments: list[str]) -> None:
    cli.daemon({"ok": source_status()})
    script = (
        "import sys; from dkrepl.cli.main import exit_code; code = exit_code(sys.argv[1:]);"
        "print(sorted(name for name in ('rich.console', 'zmq', 'psutil', 'structlog', 'asyncio')"
        " if name in sys.modules), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *cli.globals, *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert done.stderr.strip() == ("['rich.console']" if arguments == ["status", "r0"] else "[]")


def test_a_reader_that_goes_away_is_no_error(cli: Cli) -> None:
    event = {"time": 0.0, "level": "info", "event": "x" * 1000, "node": "alpha"}
    cli.daemon(*[{"progress": event}] * 2000, {"ok": {}})
    for options in ([], ["--json"]):
        process = subprocess.Popen(
            [*COMMAND, *cli.globals, "events", "r0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait(30) == 141


def read_until(terminal: int, part: bytes, seconds: float = 30.0) -> bytes:
    """Return what the terminal showed up to ``part``; fails after ``seconds``."""
    shown = b""
    deadline = time.monotonic() + seconds
    while part not in shown:
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"{part!r} was not shown: {shown!r}"
        shown += os.read(terminal, 1 << 16)
    return shown


@pytest.mark.parametrize(
    ("arguments", "first", "code"),
    [
        (["status", "r0", "--watch"], b"Ctrl-C ends", 0),
        (["events", "r0", "--follow"], b"target_in_sync", 0),
        (["wait", "insync", "r0", "--timeout", "1h"], b"", 130),
    ],
)
def test_ctrl_c_ends_cleanly(cli: Cli, arguments: list[str], first: bytes, code: int) -> None:
    event = {"time": 0.0, "level": "info", "event": "target_in_sync", "node": "alpha"}
    status = source_status()
    fake = cli.daemon(
        lambda request: [{"ok": status}] if isinstance(request, requests.Status) else [{"progress": event}, None]
    )
    master, slave = pty.openpty()
    process = subprocess.Popen([*COMMAND, *cli.globals, *arguments], stdin=slave, stdout=slave, stderr=slave)
    try:
        if first:
            read_until(master, first)
        asked = 1 if first else 2
        wait_for(lambda: len(fake.requests), lambda count: count >= asked, "the daemon is asked")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == code
        left = os.read(master, 1 << 16) if select.select([master], [], [], 0)[0] else b""
        assert b"Traceback" not in left
    finally:
        process.kill()
        process.wait(30)
        os.close(slave)
        os.close(master)
