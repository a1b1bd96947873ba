"""The reference of the exit codes."""

from __future__ import annotations

from dkrepl.errors import table
from tools.generate import markdown

_INTRODUCTION = """
An error is one sentence on stderr, `dkrepl: ...`: what happened, to what, what to do. With `--json` it is an object on
stdout, `{"error": {"code": 4, "name": "DaemonNotRunning", "message": "..."}}`. `dkrepl exit-codes` prints this table.
"""
_SIGNALS = """
A command that Ctrl-C interrupts ends with 130, one whose reader goes away (`dkrepl events r0 | head -1`) with 141.
"""


def reference() -> str:
    """Return the page."""
    rows = [("0", "", "Done."), *((str(code), f"`{name}`", meaning) for code, name, meaning in table())]
    exit_codes = markdown.table(("code", "name", "meaning"), rows)
    return markdown.page("Exit codes", "dkrepl/errors.py", _INTRODUCTION.strip(), exit_codes, _SIGNALS.strip())
