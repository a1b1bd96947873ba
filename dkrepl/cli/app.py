"""The command ``dkrepl``: its global options, and its commands in the order in which one needs them."""

from __future__ import annotations

from pathlib import Path

import click

from dkrepl import __version__
from dkrepl.cli.context import Session
from dkrepl.cli.groups import Sections
from dkrepl.cli.parameters import paths_of

SECTIONS = {
    "Set up a mirror (in this order)": ("key", "config", "init", "run"),
    "Inspect it": ("status", "wait", "events", "intent", "verify"),
    "Operate it": (
        "pause",
        "resume",
        "resync",
        "reload",
        "switchover",
        "demote",
        "promote",
        "resolve",
        "diverged",
        "clear",
    ),
    "Help": ("exit-codes",),
}


def _show_version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        print(f"dkrepl {__version__}")
        ctx.exit()


_directory = click.Path(path_type=Path, file_okay=False)


@click.group(
    name="dkrepl",
    cls=Sections,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--etc", metavar="DIR", type=_directory, help="Descriptions of mirrors. Default: $DKREPL_ETC or /etc/dkrepl."
)
@click.option("--state", metavar="DIR", type=_directory, help="Metadata. Default: $DKREPL_STATE or /var/lib/dkrepl.")
@click.option("--run", metavar="DIR", type=_directory, help="Control sockets. Default: $DKREPL_RUN or /run/dkrepl.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Print the version."
)
@click.pass_context
def app(context: click.Context, etc: Path | None, state: Path | None, run: Path | None, debug: bool) -> None:
    """Replicate a Linux block device to other nodes, without a kernel module of its own.

    Applications use /dev/dkrepl/MIRROR on the source; every write is copied to the targets. Each mirror has a
    description, /etc/dkrepl/MIRROR.toml, the same on all its nodes, and a daemon, dkrepl@MIRROR.service.

    \b
    A first mirror:
      dkrepl key generate                           # on every node; prints its public key
      dkrepl config example > /etc/dkrepl/r0.toml   # edit it, copy it to every node
      dkrepl init r0                                # on every node
      systemctl enable --now dkrepl@r0              # on every node
      dkrepl wait insync r0                         # on the source
      mkfs.ext4 /dev/dkrepl/r0

    `dkrepl COMMAND --help` says what a command does, when to use it, and shows an example. An error is one
    sentence on stderr; `dkrepl exit-codes` lists the exit codes.
    """
    context.obj = Session(paths_of(context))
