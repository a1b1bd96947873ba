"""``python -m tools.generate`` writes the generated files; with ``--check`` it fails if one is out of date."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tools.generate import command_line, control_socket, exit_codes, limits, schema, states, status

ROOT = Path(__file__).resolve().parents[2]

OUTPUTS: dict[str, Callable[[], str]] = {
    "docs/img/states-at-source.svg": states.at_source,
    "docs/img/states-of-target.svg": states.of_target,
    "docs/reference/commands.md": command_line.reference,
    "docs/reference/control-socket.md": control_socket.reference,
    "docs/reference/exit-codes.md": exit_codes.reference,
    "docs/reference/limits.md": limits.reference,
    "docs/reference/states.md": states.reference,
    "docs/reference/status.md": status.reference,
    "docs/reference/schema/answers.json": schema.answers,
    "docs/reference/schema/requests.json": schema.requests,
    "docs/reference/schema/status.json": schema.status,
    "packaging/completions/dkrepl.bash": command_line.bash_completion,
}
"""What makes each file."""


def main(arguments: list[str]) -> int:
    """Write the files, or name those that are out of date; return the exit code."""
    check = arguments == ["--check"]
    if arguments and not check:
        print("usage: python -m tools.generate [--check]", file=sys.stderr)
        return 2
    stale = []
    for name, make in OUTPUTS.items():
        file, text = ROOT / name, make()
        if file.exists() and file.read_text() == text:
            continue
        stale.append(name)
        if not check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    if not check:
        print("\n".join(stale) or "everything was up to date")
    elif stale:
        print(f"out of date, run `make generate`: {', '.join(stale)}", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
