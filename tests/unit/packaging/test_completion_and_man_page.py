"""What is shipped beside the command line: completion and man page know every command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dkrepl.cli.app import SECTIONS
from dkrepl.errors import table

PACKAGING = Path(__file__).parents[3] / "packaging"
NAMES = [name for names in SECTIONS.values() for name in names]


def completed(directory: Path, *words: str) -> list[str]:
    """Return what the shell offers after these words; the mirrors are those of ``directory``."""
    command = directory / "dkrepl"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dkrepl.cli.main "$@"\n')
    command.chmod(0o755)
    script = (
        f'source "{PACKAGING}/completions/dkrepl.bash"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=();'
        '_dkrepl_completion dkrepl; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-euc", script, "bash", "dkrepl", *words],
        cwd=PACKAGING.parent,
        env={"DKREPL_ETC": str(directory), "PATH": f"{directory}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([""], NAMES),
        (["pro"], ["promote"]),
        (["--etc", "/x", "sta"], ["status"]),
        (["config", ""], ["example", "check", "diff", "adopt"]),
        (["wait", ""], ["insync"]),
        (["key", ""], ["generate", "show", "replace"]),
        (["key", "generate", "--n"], ["--next"]),
        (["rel"], ["reload"]),
        (["status", ""], ["data", "r0"]),
        (["pause", "r"], ["r0"]),
        (["promote", "r0", "--f"], ["--force", "--fenced"]),
    ],
)
def test_the_completion_offers_commands_mirrors_and_options(
    tmp_path: Path, words: list[str], expected: list[str]
) -> None:
    for mirror in ("r0", "data"):
        (tmp_path / f"{mirror}.toml").touch()
    assert completed(tmp_path, *words) == expected


def test_the_man_page_has_every_command_and_exit_code() -> None:
    done = subprocess.run([sys.executable, PACKAGING / "make-man"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    for name in NAMES:
        assert f'.SS "dkrepl {name}' in done.stdout.replace("\\-", "-")
    for code, name, _ in table():
        assert f".TP\n{code}\n{name}: " in done.stdout
