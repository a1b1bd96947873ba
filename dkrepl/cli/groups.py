"""Commands that have commands below them, listed in the order in which one needs them rather than by the alphabet."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

BROKEN_PIPE = 141
"""Exit code of shells for a process that SIGPIPE ended."""


class Ordered(click.Group):
    """Lists its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self.commands)


class Sections(click.Group):
    """Lists its commands by section, and imports each only when it is used: most runs need one.

    The command ``exit-codes`` is the attribute ``command`` of the module ``dkrepl.cli.commands.exit_codes``.
    """

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]], **attributes: Any) -> None:
        """``sections``: names of commands by the title of their section."""
        super().__init__(*args, **attributes)
        self._sections = sections

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return [name for names in self._sections.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of this name, None if there is none."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"dkrepl.cli.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a list of commands for each section."""
        for title, names in self._sections.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl([(name, one.get_short_help_str(90)) for name, one in commands if one is not None])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader that went away (`dkrepl events | head`) is not an error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            forget_stdout()
            return BROKEN_PIPE


def forget_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush cannot fail noisily."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
