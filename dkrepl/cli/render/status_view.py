"""Draws the status of mirrors: a table of targets where there is room, a list of them where there is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dkrepl.api.status import (
    ExpectedTarget,
    Refusals,
    Resync,
    SourceCounters,
    SourceStatus,
    Status,
    TargetAtSource,
    TargetCounters,
    TargetStatus,
)
from dkrepl.cli.render.output import clean
from dkrepl.config.units import format_count, format_duration, format_rate, format_size

ROOM_FOR_TABLE = 110
"""Columns from which on the targets are a table."""
ROOM_FOR_BAR = 125
"""Columns from which on the table has a bar for a resync."""
_BAR = 10
_INDENT = (0, 0, 0, 2)
_STYLES = {
    "InSync": "green",
    "Serving": "green",
    "Resyncing": "yellow",
    "Connecting": "yellow",
    "Starting": "yellow",
    "Stopping": "yellow",
    "Behind": "yellow",
    "Paused": "cyan",
    "Disconnected": "red",
    "Refused": "bold red",
}


def draw(status: Status, console: Console) -> RenderableType:
    """Return the status of one mirror as something that the console prints."""
    parts: list[RenderableType] = [_heading(status)]
    parts += [
        Padding(Text(f"warning: {clean(warning)}", "yellow"), _INDENT, expand=False) for warning in status.warnings
    ]
    if isinstance(status, TargetStatus):
        parts += [Padding(line, _INDENT, expand=False) for line in _as_target(status)]
    else:
        draw_targets = _table if console.width >= ROOM_FOR_TABLE else _list
        parts.append(Padding(draw_targets(status.targets, console), _INDENT, expand=False))
        for target in status.targets:
            if target.reason:
                parts.append(Padding(Text(f"{clean(target.name)}: {clean(target.reason)}"), _INDENT, expand=False))
    parts += [Padding(Text(line, "dim"), _INDENT, expand=False) for line in _footing(status)]
    return Group(*parts)


def state_text(state: str) -> Text:
    """Return a state in its colour."""
    return Text(clean(state), _STYLES.get(state, ""))


def resync_words(resync: Resync, with_bytes: bool = True) -> str:
    """Return a resync under way in words: "partial 42.0 %, 10 MiB of 24 MiB, 5 MiB/s, 3 s left"."""
    words = [f"{clean(resync.kind)} {percent(resync.percent):.1f} %"]
    if with_bytes:
        words.append(f"{format_size(max(0, resync.done_bytes))} of {format_size(max(0, resync.total_bytes))}")
    words.append(format_rate(max(0.0, resync.rate_bytes_per_second)))
    if resync.eta_seconds is not None:
        words.append(f"{format_duration(max(0.0, resync.eta_seconds))} left")
    return ", ".join(words)


def percent(value: float) -> float:
    """Return a percentage that is never below 0 nor above 100, whatever was answered."""
    return min(100.0, max(0.0, value)) if value == value else 0.0


def _heading(status: Status) -> Text:
    text = Text.assemble((clean(status.mirror), "bold"), f"  {clean(status.role)} on {clean(status.node)}  ")
    text.append_text(state_text(status.state))
    if isinstance(status, TargetStatus):
        text.append(f"  follows {clean(status.source)}" if status.source else "")
    else:
        text.append(f"  {clean(status.device or 'no device')}")
        if isinstance(status, SourceStatus) and status.loop:
            text.append(f" ({clean(status.loop)})")
    text.append(f"  {format_size(status.size)}")
    return text


def _cells(target: ExpectedTarget, bar: bool, with_bytes: bool) -> tuple[str, str, str, str]:
    """Return window, lag, dirty and resync of a target in words."""
    if not isinstance(target, TargetAtSource):
        return "-", "-", "-", "-"
    window = target.window
    limit = f"/{window.writes_limit}" if window.writes_limit else ""
    writes = "write" if window.writes == 1 and not limit else "writes"
    filled = f"{window.writes}{limit} {writes}, {format_size(window.bytes)}"
    if target.lag_seconds is None:
        lag = f"unknown, {format_size(target.lag_bytes)}" if target.lag_bytes else "unknown"
    else:
        lag = f"{format_duration(target.lag_seconds)}, {format_size(target.lag_bytes)}"
    if target.resync is not None:
        resync = (_bar(target.resync.percent) + " " if bar else "") + resync_words(target.resync, with_bytes)
    elif target.last_resync is not None:
        last = target.last_resync
        took = format_duration(last.seconds)
        resync = f"last: {clean(last.kind)}, {format_size(last.sent_bytes)} sent in {took}"
    else:
        resync = "none yet"
    return filled, lag, format_size(target.dirty_bytes), resync


def _bar(value: float) -> str:
    full = round(percent(value) / 100 * _BAR)
    return "█" * full + "░" * (_BAR - full)


def _table(targets: Sequence[ExpectedTarget], console: Console) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for title in ("TARGET", "STATE", "MODE", "WINDOW", "LAG", "DIRTY", "RESYNC"):
        table.add_column(title, no_wrap=title != "RESYNC", overflow="fold")
    for target in targets:
        bar = console.is_terminal and console.width >= ROOM_FOR_BAR
        words = _cells(target, bar, with_bytes=not console.is_terminal)
        table.add_row(clean(target.name), state_text(target.state), clean(target.mode), *words)
    return table


def _list(targets: Sequence[ExpectedTarget], console: Console) -> Group:
    lines: list[RenderableType] = []
    for target in targets:
        head = Text.assemble((clean(target.name), "bold"), "  ")
        head.append_text(state_text(target.state)).append(f"  {clean(target.mode)}")
        lines.append(head)
        cells = _cells(target, bar=False, with_bytes=True)
        for title, words in zip(("window", "lag", "dirty", "resync"), cells, strict=True):
            lines.append(Padding(Text(f"{title:<7}{words}"), _INDENT, expand=False))
    return Group(*lines)


def _as_target(status: TargetStatus) -> Iterator[Text]:
    if status.reason:
        yield Text(f"reason: {clean(status.reason)}")
    yield Text(f"store is {clean(status.store_state)}")
    yield Text(f"applied up to write {status.applied_seq}, durable up to write {status.durable_seq}")
    if status.resync is not None:
        yield Text(f"resync {_bar(status.resync.percent)} {resync_words(status.resync)}")


def _footing(status: Status) -> Iterator[str]:
    identity = [f"generation {clean(status.generation)}"] if status.generation else []
    if isinstance(status, SourceStatus):
        identity.append(f"write {status.seq}")
    identity.append(f"blocks of {format_size(status.block)}")
    if isinstance(status, SourceStatus):
        identity.append(f"{format_count(status.active_extents, 'active extent')} of {format_size(status.extent)}")
    yield ", ".join(identity)
    yield ", ".join(_counted(status.counters))
    figures = []
    if status.process is not None:
        process = status.process
        figures.append(
            f"daemon {process.pid}: up {format_duration(process.uptime_seconds)}, "
            f"{format_size(process.rss_bytes)}, {process.cpu_seconds:.1f} s of CPU"
        )
    if status.host is not None:
        host = status.host
        words = [f"load {host.load1:.2f}"] if host.load1 is not None else []
        if host.memory_available_bytes is not None:
            words.append(f"{format_size(host.memory_available_bytes)} of memory free")
        if host.store_free_bytes is not None:
            words.append(f"{format_size(host.store_free_bytes)} free for the store")
        figures.append("host: " + ", ".join(words))
    if figures:
        yield "; ".join(figures)


def _counted(counters: Refusals) -> Iterator[str]:
    """Yield what a daemon of either role counts, in words."""
    if isinstance(counters, SourceCounters):
        yield f"{format_count(counters.writes, 'write')} ({format_size(counters.written_bytes)})"
        yield f"{format_count(counters.reads, 'read')} ({format_size(counters.read_bytes)})"
        yield format_count(counters.flushes, "flush", "flushes")
        yield format_count(counters.discards, "discard")
    if isinstance(counters, TargetCounters):
        yield f"{format_size(counters.applied_bytes)} applied, {format_size(counters.resync_bytes)} of it by resyncs"
    yield f"{format_count(counters.frames_refused, 'frame')} refused"
    if isinstance(counters, TargetCounters) and counters.messages_refused:
        yield f"{format_count(counters.messages_refused, 'message')} refused"
    if counters.peers_refused:
        yield f"{format_count(counters.peers_refused, 'connection')} refused"
