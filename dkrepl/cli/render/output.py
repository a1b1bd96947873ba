"""How commands print: JSON for scripts, text for people, one sentence for an error.

rich is imported only when something is drawn with it: it costs as much time as all the rest.
"""

from __future__ import annotations

import json
import sys
from typing import IO, TYPE_CHECKING, Any

import msgspec

from dkrepl.api import client
from dkrepl.api.answers import Targets
from dkrepl.api.failure import Failure
from dkrepl.errors import DkreplError

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 160
"""Columns when no terminal says how wide it is: nothing that a script greps for is wrapped."""


def print_json(value: Any) -> None:
    """Print one JSON document: on one line, or indented if a person looks at it."""
    try:
        text = msgspec.json.encode(value, order="deterministic")
    except UnicodeEncodeError:  # a path need not be UTF-8; it is escaped as Python reads it back
        text = json.dumps(msgspec.to_builtins(value), sort_keys=True).encode()
    if sys.stdout.isatty():
        text = msgspec.json.format(text, indent=2)
    print(text.decode(), flush=True)


def print_text(text: str) -> None:
    """Print a line of text as it is."""
    print(text, flush=True)


def console(file: IO[str] | None = None) -> Console:
    """Return a rich console: colours and the terminal's width on a terminal, plain and wide without one."""
    from rich.console import Console

    class QuietConsole(Console):
        """Leaves a reader that went away to the caller; rich's own would end the process."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    out = file or sys.stdout
    terminal = out.isatty()
    return QuietConsole(
        file=out,
        width=None if terminal else PLAIN_WIDTH,
        force_terminal=None if terminal else False,
        no_color=None if terminal else True,
        highlight=False,
        emoji=False,
        markup=False,
        soft_wrap=False,
    )


def print_error(error: DkreplError, as_json: bool) -> None:
    """Print an error: its sentence on stderr, or with JSON an object on stdout."""
    if as_json:
        print_json({"error": Failure.of(error)})
    else:
        print(f"dkrepl: {error}", file=sys.stderr, flush=True)


def clean(text: object) -> str:
    """Return text of unknown origin without anything that could steer a terminal."""
    from dkrepl.config.schema import printable

    return printable(str(text))


def print_done(answer: Any, as_json: bool, sentence: str) -> None:
    """Print what a command did: what the daemon answered, or ``sentence``."""
    if as_json:
        print_json(answer)
    else:
        print_text(sentence)


def print_states(answer: Any, mirror: str, as_json: bool, sentence: str) -> None:
    """Print the same with the states that the targets were left in. Raises ``ProtocolError`` if there are none."""
    targets = client.read(answer, Targets, mirror).targets
    states = ", ".join(clean(f"{one.name} {one.state}") for one in targets)
    print_done(answer, as_json, f"{sentence} (now: {states})" if states else sentence)
