"""Runs the command line: every error becomes one sentence and its exit code."""

from __future__ import annotations

import os
import sys

import click

from dkrepl.cli.app import app
from dkrepl.cli.groups import BROKEN_PIPE, forget_stdout
from dkrepl.cli.render.output import print_error
from dkrepl.errors import DkreplError, UsageError

INTERRUPTED = 130
"""Exit code of shells for a process that SIGINT ended."""


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    _open_standard_streams()
    sys.exit(exit_code(sys.argv[1:] if arguments is None else arguments))


def exit_code(arguments: list[str]) -> int:
    """Run the command line and return its exit code; every error has become its sentence."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    as_json, debug = "--json" in options, "--debug" in options
    try:
        try:
            result = app.main(args=arguments, prog_name="dkrepl", standalone_mode=False)
            sys.stdout.flush()
        except click.exceptions.NoArgsIsHelpError as error:
            print(error.format_message())
            return UsageError.exit_code
        except click.UsageError as error:
            print_error(_one_sentence(error, arguments), as_json)
            return UsageError.exit_code
        except DkreplError as error:
            if debug:
                _print_traceback()
            print_error(error, as_json)
            return error.exit_code
        except (click.Abort, KeyboardInterrupt):
            return INTERRUPTED
        except Exception as error:  # the last resort: a bug is one sentence too, the traceback is there on demand
            if debug:
                _print_traceback()
            advice = "" if debug else " (run again with --debug for the traceback)"
            print_error(DkreplError(f"unexpected {type(error).__name__}: {error}{advice}"), as_json)
            return DkreplError.exit_code
    except BrokenPipeError:
        forget_stdout()
        return BROKEN_PIPE
    return result if isinstance(result, int) else 0


def _open_standard_streams() -> None:
    """Open those that were closed by the caller: else the next file gets the number, and what is printed goes there."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - as long as the process lives
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _one_sentence(error: click.UsageError, arguments: list[str]) -> UsageError:
    where = error.ctx.command_path if error.ctx is not None else _command_in(arguments)
    message = " ".join(error.format_message().split())  # click puts choices on lines of their own
    return UsageError(f"{message.rstrip('.')} (see `{where} --help`)")


def _command_in(arguments: list[str]) -> str:
    """Return the command that was meant: click's parser does not say it of an option that lacks its value."""
    names: list[str] = ["dkrepl"]
    command: click.Command = app
    for word in arguments:
        found = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        if found is not None:
            names.append(word)
            command = found
    return " ".join(names)


def _print_traceback() -> None:
    import traceback

    traceback.print_exc()


if __name__ == "__main__":
    run()
