"""`dkrepl events`: what is asked for, and how events are shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from dkrepl.api import requests
from dkrepl.cli.commands.events import parse_since
from dkrepl.errors import UsageError
from tests.unit.cli.fake_daemon import Cli

NOW = 1_772_000_000.0
IN_SYNC = {"time": NOW, "level": "info", "event": "target_in_sync", "mirror": "r0", "node": "alpha", "target": "beta"}
REFUSED = {**IN_SYNC, "level": "error", "event": "frame_refused", "why": "bad checksum", "rate": 0.5, "gone": None}


def test_events_are_shown_one_a_line_with_what_tells_more(cli: Cli) -> None:
    fake = cli.daemon({"progress": IN_SYNC}, {"progress": REFUSED}, {"ok": {}})
    code, out, err = cli.run("events", "r0")
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert first.startswith(datetime.fromtimestamp(NOW).strftime("%Y-%m-%d %H:%M:%S"))
    assert first.split()[2:] == ["info", "alpha", "target_in_sync", "target=beta"]
    assert second.endswith('frame_refused  target=beta  why="bad checksum"  rate=0.500')
    assert fake.requests == [requests.Events()]


def test_json_is_one_event_a_line(cli: Cli) -> None:
    cli.daemon({"progress": IN_SYNC}, {"progress": REFUSED}, {"ok": {}})
    out = cli.run("events", "r0", "--json")[1]
    assert [json.loads(line) for line in out.splitlines()] == [IN_SYNC, REFUSED]


def test_an_event_cannot_steer_the_terminal_nor_bring_a_trace(cli: Cli) -> None:
    odd = {"time": "never", "event": "a\x1b[2J", "k\n": "\x07 x", "level": 3}
    cli.daemon({"progress": odd}, {"progress": "text"}, {"progress": {"time": 1e300}}, {"ok": {}})
    code, out, _ = cli.run("events", "r0")
    assert code == 0
    assert len(out.splitlines()) == 3
    assert "\x1b" not in out
    assert 'a\\x1b[2J  k\\n="\\x07 x"' in out


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("10m", NOW - 600),
        ("2h", NOW - 7200),
        ("90", NOW - 90),
        ("2026-02-24T08:00:00+00:00", datetime(2026, 2, 24, 8, tzinfo=UTC).timestamp()),
        ("2026-02-24T08:00Z", datetime(2026, 2, 24, 8, tzinfo=UTC).timestamp()),
        ("2026-02-24 08:00", datetime(2026, 2, 24, 8).timestamp()),
        ("2026-02-24", datetime(2026, 2, 24).timestamp()),
    ],
)
def test_since_is_how_long_ago_or_a_time(text: str, moment: float) -> None:
    assert parse_since(text, NOW) == moment


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01", "-5m", "10 fortnights"])
def test_since_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="how long ago"):
        parse_since(text, NOW)


def test_since_is_sent_as_unix_seconds(cli: Cli) -> None:
    fake = cli.daemon({"ok": {}})
    cli.run("events", "r0", "--since", "2026-02-24T08:00Z")
    assert fake.requests == [requests.Events(since=datetime(2026, 2, 24, 8, tzinfo=UTC).timestamp())]
