"""``dkrepl status``: how every copy of a mirror is, once or live."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from dkrepl.cli.context import JsonOption, MirrorArgument, paths_of, resolve_mirror
from dkrepl.cli.control_client import ask
from dkrepl.cli.render.output import console, error_as_dict, print_error, print_json
from dkrepl.cli.render.status_shapes import read_status
from dkrepl.errors import DkreplError
from dkrepl.io.state.paths import Paths

INTERVAL = 1.0
"""Seconds between two looks of --watch."""


def command(
    context: typer.Context,
    mirror: MirrorArgument = None,
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it live until Ctrl-C.")] = False,
) -> int:
    """Show the state of a mirror: role, targets, lag, what is dirty, resync.

    On the source it shows every target: its state, mode, window (writes sent and not yet confirmed), lag in
    seconds and bytes, dirty bytes (those that the intent log names) and the resync under way. On a target it
    shows that target. Without MIRROR all mirrors described here are shown. InSync means: connected, and no
    block dirty but those of writes that the target has not yet confirmed as durable.

    \b
    Examples:
      dkrepl status
      dkrepl status r0 --watch
      dkrepl status r0 --json | jq -r '.targets[] | [.name, .state] | @tsv'

    Exit codes: 0 shown, 4 the daemon is not running, 6 no such mirror, 7 the daemon does not answer,
    11 its answer makes no sense; of several mirrors, that of the first which could not be shown.
    """
    paths = paths_of(context)
    if mirror is not None:
        mirrors = [resolve_mirror(paths, mirror)]
    else:
        from dkrepl.io.state.description_file import list_mirrors

        mirrors = list_mirrors(paths) or [resolve_mirror(paths, None)]
    if watch:
        return _watch(paths, mirrors, as_json)
    if len(mirrors) == 1:
        _show({mirrors[0]: ask(paths, mirrors[0], "status")}, as_json)
        return 0
    answers = _ask_all(paths, mirrors)
    _show(answers, as_json)
    return next((answer.exit_code for answer in answers.values() if isinstance(answer, DkreplError)), 0)


def _ask_all(paths: Paths, mirrors: list[str]) -> dict[str, Any]:
    """Return for each mirror the daemon's answer, or the error that there was instead."""
    answers: dict[str, Any] = {}
    for mirror in mirrors:
        try:
            answer = ask(paths, mirror, "status")
            read_status(answer, mirror)
            answers[mirror] = answer
        except DkreplError as error:
            answers[mirror] = error
    return answers


def _show(answers: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(_as_json(answers))
        return
    from dkrepl.cli.render.status_view import draw

    out = console()
    for mirror, answer in answers.items():
        if isinstance(answer, DkreplError):
            print_error(answer, as_json=False)
        else:
            out.print(draw(read_status(answer, mirror), out))


def _as_json(answers: dict[str, Any]) -> Any:
    """Return the one status as it was answered, or several in a list."""
    shown = [
        {"mirror": mirror, **error_as_dict(answer)} if isinstance(answer, DkreplError) else answer
        for mirror, answer in answers.items()
    ]
    return shown[0] if len(shown) == 1 else {"mirrors": shown}


def _watch(paths: Paths, mirrors: list[str], as_json: bool) -> int:
    """Show the mirrors each second until Ctrl-C, also while a daemon is away."""
    try:
        if as_json or not sys.stdout.isatty():
            while True:
                _show(_ask_all(paths, mirrors), as_json)
                time.sleep(INTERVAL)
        _live(paths, mirrors)
    except KeyboardInterrupt:  # the way to end it
        pass
    return 0


def _live(paths: Paths, mirrors: list[str]) -> None:
    from rich.console import Group, RenderableType
    from rich.live import Live
    from rich.text import Text

    from dkrepl.cli.render.status_view import draw

    out = console()

    def look() -> RenderableType:
        parts: list[RenderableType] = []
        for mirror, answer in _ask_all(paths, mirrors).items():
            if isinstance(answer, DkreplError):
                parts.append(Text(str(answer), "red"))
            else:
                parts.append(draw(read_status(answer, mirror), out))
        return Group(*parts, Text("every second, Ctrl-C ends", "dim"))

    with Live(look(), console=out, auto_refresh=False, vertical_overflow="visible") as live:
        while True:
            time.sleep(INTERVAL)
            live.update(look(), refresh=True)
