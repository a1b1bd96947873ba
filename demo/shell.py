"""Runs commands of this host: every one has a deadline, and a failure is one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"


class Trouble(Exception):
    """What went wrong and what to do about it, as one sentence."""


def environment() -> dict[str, str]:
    """Return the environment for podman: our containers.conf, and directories that a PATH may lack."""
    changed = dict(os.environ, CONTAINERS_CONF=str(ROOT / "demo/containers.conf"))
    changed["PATH"] = f"{changed.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"
    return changed


def run(*command: str, seconds: float = 60, check: bool = True, stdin: str | None = None) -> str:
    """Run a command and return what it printed on standard output, without the last newline.

    With `check`, an exit code other than 0 raises Trouble with the last line of its error output. So does, always,
    a command that is missing or takes more than `seconds`.
    """
    try:
        done = subprocess.run(
            command,
            env=environment(),
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise Trouble(f"the command {command[0]} is missing: run 'make setup' as root.") from error
    except subprocess.TimeoutExpired as error:
        raise Trouble(f"'{' '.join(command[:4])}' did not end within {seconds:.0f} s.") from error
    if check and done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise Trouble(f"'{' '.join(command[:4])}' failed with exit code {done.returncode}: {said}")
    return done.stdout.rstrip("\n")


def exit_code_of(work: Callable[[], None]) -> int:
    """Do something; return 0, or 1 where that ended in Trouble, which is said."""
    try:
        work()
    except Trouble as trouble:
        print(f"dkrepl: {trouble}", file=sys.stderr)
        return 1
    return 0


def succeeds(*command: str, seconds: float = 60) -> bool:
    """Run a command for its exit code alone."""
    try:
        run(*command, seconds=seconds)
    except Trouble:
        return False
    return True
