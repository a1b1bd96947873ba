"""The reference of the exit codes."""

from __future__ import annotations

from dkrepl.errors import table
from tools.generate import markdown

_INTRODUCTION = """
An error is one sentence on stderr, `dkrepl: ...`: what happened, to what, and what to do. With `--json` it is an
object on stdout, `{"error": {"code": 4, "name": "DaemonNotRunning", "message": "..."}}`. `dkrepl exit-codes` prints
this table.
"""
_SIGNALS = """
A command that Ctrl-C interrupts ends with 130; `status --watch` and `events --follow` end with 0. If the reader of the
output goes away (`dkrepl events r0 | head -1`), the command ends with 141 and without a word.
"""
_DAEMON = """
systemd starts the daemon again after each end, except after 2, 3, 6, 10 and 13, which do not go away by themselves:
remove the cause, then `systemctl start dkrepl@r0`. [The daemon does not start](../runbooks/daemon-does-not-start.md)
"""


def reference() -> str:
    """Return the page."""
    rows = [("0", "", "Done."), *((str(code), f"`{name}`", meaning) for code, name, meaning in table())]
    exit_codes = markdown.table(("code", "name", "meaning"), rows)
    parts = (_INTRODUCTION.strip(), exit_codes, _SIGNALS.strip(), "## The daemon", _DAEMON.strip())
    return markdown.page("Exit codes", "dkrepl/errors.py", *parts)
