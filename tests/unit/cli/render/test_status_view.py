"""`dkrepl status`: what is shown of a source and of a target, on terminals of any width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dkrepl.api.client import read_status
from dkrepl.cli.render.status_view import draw
from tests.unit.cli.fake_daemon import Cli, source_status, target_status


def drawn(width: int, answer: object, terminal: bool = False) -> str:
    out = Console(file=io.StringIO(), width=width, force_terminal=terminal, highlight=False, markup=False)
    out.print(draw(read_status(answer, "r0"), out))
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def line_with(text: str, part: str) -> str:
    return next(line for line in text.splitlines() if part in line)


def test_a_source_shows_every_target_with_state_window_lag_dirty_and_resync(cli: Cli) -> None:
    cli.daemon({"ok": source_status()})
    code, out, err = cli.run("status", "r0")
    assert (code, err) == (0, "")
    assert out.startswith("r0  source on alpha  Serving  /dev/dkrepl/r0 (/dev/loop3)  1 GiB\n")
    beta = line_with(out, "beta")
    for part in (
        "InSync",
        "sync",
        "3/256 writes, 12 KiB",
        "4 ms, 12 KiB",
        "64 KiB",
        "last: partial, 512 KiB sent in 2.5 s",
    ):
        assert part in beta
    gamma = line_with(out, "Resyncing")
    for part in ("async", "unknown, 12 KiB", "partial 42.0 %, 42 MiB of 100 MiB, 10 MiB/s, 5.8 s left"):
        assert part in gamma
    assert "gamma: it was away for 12 s" in out
    assert "generation 0123456789abcdef, write 4711, blocks of 64 KiB, 2 active extents of 4 MiB" in out
    assert "daemon 99: up 2 h 5 min, 50 MiB, 1.5 s of CPU; host: load 0.50, 2 GiB of memory free" in out


def test_a_target_shows_whom_it_follows_and_how_far_it_is(cli: Cli) -> None:
    cli.daemon({"ok": target_status(warnings=["the store is nearly full"])})
    code, out, _ = cli.run("status", "r0")
    assert code == 0
    assert out.startswith("r0  target on beta  InSync  follows alpha  1 GiB\n")
    assert "warning: the store is nearly full" in out
    assert "applied up to write 4711, durable up to write 4700" in out
    assert "store is Consistent" in out
    assert "16 MiB applied, 4 KiB of it by resyncs, 2 frames refused" in out


def test_without_a_terminal_there_are_no_colour_codes(cli: Cli) -> None:
    cli.daemon({"ok": source_status(warnings=["look out"])})
    _, out, _ = cli.run("status", "r0")
    assert "\x1b" not in out


def test_what_came_from_the_daemon_cannot_steer_the_terminal() -> None:
    text = drawn(120, source_status(node="al\x1b[2Jpha", warnings=["\x1b]0;owned\x07"]))
    assert "\x1b" not in text
    assert "al\\x1b[2Jpha" in text


@pytest.mark.parametrize("width", [30, 40, 60, 80, 99, 100, 120, 200])
@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_is_cut_off_on_a_narrow_terminal(width: int, terminal: bool) -> None:
    text = drawn(width, source_status(), terminal)
    assert max(map(len, Console(width=500).render_str(text).plain.splitlines())) <= (width if not terminal else 500)
    for word in ("beta", "gamma", "InSync", "Resyncing", "42.0", "4711"):
        assert word in text


@pytest.mark.parametrize(("percent", "shown"), [(-5.0, "0.0 %"), (250.0, "100.0 %"), (42.0, "42.0 %")])
def test_progress_never_goes_below_0_or_above_100(percent: float, shown: str) -> None:
    status = target_status(state="Resyncing")
    status["resync"] = {
        "kind": "full",
        "percent": percent,
        "done_bytes": -1,
        "total_bytes": 4096,
        "rate_bytes_per_second": -3.0,
        "eta_seconds": -1.0,
    }
    text = drawn(120, status)
    assert f"full {shown}, 0 B of 4 KiB, 0 B/s, 0 s left" in text
    assert text.count("█") + text.count("░") == 10
