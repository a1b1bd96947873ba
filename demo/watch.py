"""Shows the targets of a mirror while something goes on: live on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from demo.labs import Lab
from demo.shell import Trouble, environment, run
from dkrepl.api.status import SourceStatus, Status, TargetAtSource, from_json
from tests.lab.waiting import looks

# A look costs the start of a Python in the container; the two cores have better things to do.
INTERVAL_SECONDS = 0.7
PLAIN_INTERVAL_SECONDS = 3.0
COLOURS = {"InSync": "green", "Resyncing": "yellow", "Behind": "yellow", "Paused": "cyan"}


def mebibytes(count: float) -> str:
    """Write a number of bytes as MiB with one decimal place."""
    return f"{count / 2**20:.1f} MiB"


def status_of(lab: Lab, node: str, mirror: str) -> Status:
    """Ask the daemon on a node for its status; raises Trouble if it gives none."""
    answer = run("podman", "exec", lab.container(node), "dkrepl", "status", mirror, "--json", seconds=30)
    return from_json(json.loads(answer))


def source_status(lab: Lab, node: str, mirror: str) -> SourceStatus:
    """As ``status_of``, of a node that has to be the source; raises Trouble if it is not."""
    status = status_of(lab, node, mirror)
    if not isinstance(status, SourceStatus):
        raise Trouble(f"{node} is not the source of {mirror}, or does not serve it yet: it is {status.state}.")
    return status


def progress_of(target: TargetAtSource) -> RenderableType:
    """Draw how far the resync of a target is, or say what the last one sent."""
    resync, last = target.resync, target.last_resync
    if resync is not None:
        bar = ProgressBar(total=100, completed=resync.percent, width=18)
        grid = Table.grid(padding=(0, 1))
        grid.add_row(bar, f"{resync.percent:.0f} % {resync.kind}")
        return grid
    if last is not None:
        return Text(f"last: {last.kind}, {mebibytes(last.sent_bytes)} sent", style="dim")
    return Text("-", style="dim")


def draw(status: SourceStatus, title: str) -> RenderableType:
    """Draw the targets of a source as a table under a line that says what goes on."""
    table = Table(box=None, padding=(0, 2, 0, 2))
    for heading in ("target", "mode", "state", "lag", "dirty", "resync"):
        table.add_column(heading, header_style="dim")
    for target in status.targets:
        lag = target.lag_seconds
        table.add_row(
            target.name,
            target.mode,
            Text(target.state, style=COLOURS.get(target.state, "red")),
            f"{lag:.1f} s, {mebibytes(target.lag_bytes)}" if lag is not None else "-",
            mebibytes(target.dirty_bytes),
            progress_of(target),
        )
    return Group(Spinner("dots", text=Text(title)), table)


def line(status: SourceStatus, title: str) -> str:
    """Say the same in one line, for output that is no terminal."""
    targets = []
    for target in status.targets:
        resync = f" {target.resync.percent:.0f} %" if target.resync is not None else ""
        targets.append(f"{target.name} {target.state}{resync}, {mebibytes(target.dirty_bytes)} dirty")
    return f"   {title}: {'; '.join(targets)}"


def until(
    console: Console, lab: Lab, node: str, mirror: str, title: str, done: Callable[[SourceStatus], bool], seconds: float
) -> SourceStatus:
    """Show the status again and again until `done` says so of one; raises Trouble after `seconds`."""
    next_line = time.monotonic() + PLAIN_INTERVAL_SECONDS
    with Live(console=console, transient=True, refresh_per_second=8) as live:
        for _ in looks(seconds, INTERVAL_SECONDS):
            status = source_status(lab, node, mirror)
            if console.is_terminal:
                live.update(draw(status, title))
            elif time.monotonic() >= next_line:
                console.print(line(status, title), highlight=False)
                next_line = time.monotonic() + PLAIN_INTERVAL_SECONDS
            if done(status):
                return status
    raise Trouble(f"'{title}' did not end within {seconds:.0f} s: {line(status, 'the targets are').strip()}.")


def during(console: Console, lab: Lab, node: str, mirror: str, title: str, command: str, seconds: float) -> float:
    """Run a shell command on a node and show the status meanwhile; return the seconds it took."""
    started = time.monotonic()
    work = subprocess.Popen(
        ["podman", "exec", lab.container(node), "timeout", str(int(seconds)), "bash", "-c", command],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(console, lab, node, mirror, title, lambda _: work.poll() is not None, seconds + 10)
        _, said = work.communicate(timeout=10)
    finally:
        if work.poll() is None:
            work.kill()
            work.wait()
    if work.returncode:
        raise Trouble(f"'{title}' failed on {node} with exit code {work.returncode}: {said.strip()[-300:]}")
    return time.monotonic() - started
