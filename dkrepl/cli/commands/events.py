"""``dkrepl events``: what happened to a mirror, as this node's daemon remembers it."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from dkrepl.api import requests
from dkrepl.cli import parameters
from dkrepl.cli.context import Session
from dkrepl.cli.render.output import clean, console
from dkrepl.config.units import parse_duration
from dkrepl.errors import UsageError

if TYPE_CHECKING:
    from rich.text import Text

_LEVELS = {"info": "green", "warning": "yellow", "error": "bold red"}
_HEAD = ("time", "level", "event", "mirror", "node")


@click.command()
@parameters.mirror
@click.option("--since", metavar="TIME", help="Since 10m or 2h ago, or since an ISO 8601 time.")
@click.option("--follow", "-f", is_flag=True, help="Keep printing new events until Ctrl-C.")
@parameters.as_json
@click.pass_obj
def command(session: Session, mirror: str | None, since: str | None, follow: bool, as_json: bool) -> int:
    """Show what happened to a mirror: connections, resyncs, refusals, changes of role.

    To find out why a target is not InSync. The daemon remembers the latest events since it started; the journal has
    all of them (`journalctl -u dkrepl@r0`). With --json each event is one line.

    \b
    Examples:
      dkrepl events r0 --since 10m
      dkrepl events r0 --since 2026-03-01T08:00 --json
      dkrepl events r0 --follow

    Exit codes: 0 shown, 2 --since is not a time, 4 the daemon is not running, 6 no such mirror.
    """
    name = session.mirror(mirror)
    request = requests.Events(since=None if since is None else parse_since(since, time.time()), follow=follow)
    out = None if as_json else console()

    def show(event: Any) -> None:
        if out is None:
            print_json_line(event)
        else:
            out.print(event_line(event), soft_wrap=True)
            sys.stdout.flush()

    try:
        session.ask(name, request, show, endless=follow)
    except KeyboardInterrupt:
        if not follow:
            raise
    return 0


def parse_since(text: str, now: float) -> float:
    """Return the Unix time that "10m" (ago) or "2026-03-01T08:00" (local time unless it names a zone) means.

    Raises UsageError.
    """
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"--since is {text!r}, but it must be how long ago (10m, 2h, 1d) or a time (2026-03-01T08:00)"
        ) from None


def print_json_line(event: Any) -> None:
    """Print an event on one line, also on a terminal."""
    import msgspec

    print(msgspec.json.encode(event).decode(), flush=True)


def event_line(event: Any) -> Text:
    """Return an event as a line: time, level, node, what, and the fields that tell more."""
    from rich.text import Text

    fields = event if isinstance(event, dict) else {"event": event}
    level = clean(fields.get("level", "info"))
    line = Text.assemble(
        (_clock(fields.get("time")), "dim"),
        "  ",
        (f"{level:<7}", _LEVELS.get(level, "")),
        f"  {clean(fields.get('node', '')):<10}  ",
        (clean(fields.get("event", "")), "bold"),
    )
    for key, value in fields.items():
        if key not in _HEAD and value is not None:
            line.append(f"  {clean(key)}=", "dim").append(_value(value))
    return line


def _clock(moment: object) -> str:
    try:
        return datetime.fromtimestamp(float(moment)).strftime("%Y-%m-%d %H:%M:%S")  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return "at an unknown time "


def _value(value: object) -> str:
    text = clean(f"{value:.3f}" if isinstance(value, float) else value)
    return f'"{text}"' if " " in text else text
