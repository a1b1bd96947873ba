"""What follows from the commands themselves: their reference, and the completion of bash."""

from __future__ import annotations

from collections.abc import Iterator

import click
from click.shell_completion import get_completion_class

from dkrepl.cli.app import SECTIONS, app
from tools.generate import markdown

_WIDTH = 100  # columns


def reference() -> str:
    """Return the page: what ``--help`` prints of every command."""
    root = click.Context(app, info_name="dkrepl", terminal_width=_WIDTH, **app.context_settings)
    parts = ["What `--help` prints. [exit-codes.md](exit-codes.md) has all exit codes.", f"```text\n{_help(root)}\n```"]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}")
        for name in names:
            parts += [f"### `{one.command_path}`\n\n```text\n{_help(one)}\n```" for one in _leaves(root, app, name)]
    return markdown.page("Commands", "dkrepl/cli", *parts)


def bash_completion() -> str:
    """Return click's completion of bash for dkrepl."""
    kind = get_completion_class("bash")
    assert kind is not None
    comment = "# shellcheck disable=all\n# Completion of dkrepl: click's own, made by `make generate`.\n"
    return comment + kind(app, {}, "dkrepl", "_DKREPL_COMPLETE").source()


def _leaves(parent: click.Context, group: click.Group, name: str) -> Iterator[click.Context]:
    command = group.get_command(parent, name)
    assert command is not None, name
    context = click.Context(command, parent=parent, info_name=name)
    if not isinstance(command, click.Group):
        yield context
        return
    for sub in command.list_commands(context):
        yield from _leaves(context, command, sub)


def _help(context: click.Context) -> str:
    return "\n".join(line.rstrip() for line in context.command.get_help(context).splitlines())
