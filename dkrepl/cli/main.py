"""The command ``dkrepl``: its global options, its commands in the order one needs them, its exit codes."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dkrepl import __version__
from dkrepl.cli.commands import (
    clear,
    config,
    config_peers,
    demote,
    diverged,
    events,
    exit_codes,
    init,
    intent,
    key,
    pause,
    promote,
    reload,
    resolve,
    resume,
    resync,
    switchover,
    verify,
    wait,
)
from dkrepl.cli.commands import run as run_command
from dkrepl.cli.commands import status as status_command
from dkrepl.cli.context import Session
from dkrepl.cli.render.output import print_error
from dkrepl.errors import DkreplError, UsageError
from dkrepl.io.state.paths import Paths

SECTIONS: dict[str, list[str]] = {
    "Set up a mirror (in this order)": ["key", "config", "init", "run"],
    "See how it is": ["status", "wait", "events", "intent", "verify"],
    "Operate it": [
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
    ],
    "Help": ["exit-codes"],
}
BROKEN_PIPE, INTERRUPTED = 141, 130
"""Exit codes of shells for a process that SIGPIPE or SIGINT ended."""

_UsageErrorOfTyper: type[Exception] = typer.BadParameter.__bases__[0]


class Commands(TyperGroup):
    """The commands, by section, in working order."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of SECTIONS."""
        return [name for names in SECTIONS.values() for name in names]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one list of commands a section."""
        for title, names in SECTIONS.items():
            rows = [(name, self.commands[name].get_short_help_str(limit=90)) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a reader that went away (`dkrepl events | head`) is no error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _forget_stdout()
            return BROKEN_PIPE


app = typer.Typer(
    name="dkrepl",
    cls=Commands,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(key.app, name="key")
config.app.command("diff")(config_peers.diff)
config.app.command("adopt")(config_peers.adopt)
app.add_typer(config.app, name="config")
app.command("init")(init.command)
app.command("run")(run_command.command)
app.command("status")(status_command.command)
app.add_typer(wait.app, name="wait")
app.command("events")(events.command)
app.add_typer(intent.app, name="intent")
app.command("verify")(verify.command)
app.command("pause")(pause.command)
app.command("resume")(resume.command)
app.command("resync")(resync.command)
app.command("reload")(reload.command)
app.command("demote")(demote.command)
app.command("promote", cls=promote.Command)(promote.command)
app.command("switchover")(switchover.command)
app.command("resolve")(resolve.command)
app.add_typer(diverged.app, name="diverged")
app.command("clear")(clear.command)
app.command("exit-codes")(exit_codes.command)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"dkrepl {__version__}")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def main(
    context: typer.Context,
    etc: Annotated[
        Path | None,
        typer.Option(
            "--etc",
            metavar="DIR",
            help="Descriptions of the mirrors [/etc/dkrepl, $DKREPL_ETC].",
            show_default=False,
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option("--state", metavar="DIR", help="Metadata [/var/lib/dkrepl, $DKREPL_STATE].", show_default=False),
    ] = None,
    run_: Annotated[
        Path | None,
        typer.Option("--run", metavar="DIR", help="Control sockets [/run/dkrepl, $DKREPL_RUN].", show_default=False),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Replicate a Linux block device to other nodes, without a kernel module.

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

    `dkrepl COMMAND --help` says what a command does, when it is needed, and shows an example. Errors are one
    sentence on stderr; `dkrepl exit-codes` lists the exit codes.
    """
    paths = Paths.from_environment()
    context.obj = Session(
        Paths(etc=etc or paths.etc, state=state or paths.state, run=run_ or paths.run, dev=paths.dev), debug
    )


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(exit_code(sys.argv[1:] if arguments is None else arguments))


def exit_code(arguments: list[str]) -> int:
    """Run the command line and return its exit code; every error has become its sentence."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    as_json, debug = "--json" in options, "--debug" in options
    try:
        try:
            result = typer.main.get_command(app).main(args=arguments, prog_name="dkrepl", standalone_mode=False)
            sys.stdout.flush()
        except _UsageErrorOfTyper as error:
            return _usage(error, as_json)
        except DkreplError as error:
            if debug:
                _print_trace()
            print_error(error, as_json)
            return error.exit_code
        except (typer.Abort, KeyboardInterrupt):
            return INTERRUPTED
        except Exception as error:  # the last resort: a bug is one sentence too, the trace is asked for
            if debug:
                _print_trace()
            advice = "" if debug else " (run again with --debug for the trace)"
            print_error(DkreplError(f"unexpected {type(error).__name__}: {error}{advice}"), as_json)
            return DkreplError.exit_code
    except BrokenPipeError:
        _forget_stdout()
        return BROKEN_PIPE
    return result if isinstance(result, int) else 0


def _usage(error: Exception, as_json: bool) -> int:
    message = getattr(error, "format_message", lambda: str(error))()
    if type(error).__name__ == "NoArgsIsHelpError":
        print(message)
        return UsageError.exit_code
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "dkrepl"
    print_error(UsageError(f"{message.rstrip('.')}: see `{where} --help`"), as_json)
    return UsageError.exit_code


def _print_trace() -> None:
    import traceback

    traceback.print_exc()


def _forget_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush cannot fail aloud."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


if __name__ == "__main__":
    run()
