"""The reference of a target's states: diagrams and tables of both sides."""

from __future__ import annotations

from collections.abc import Mapping

from dkrepl.core.states import IN_STREAM, OF_TARGET, SEEN_BY_SOURCE, STATES, Event, TargetState
from tools.generate import markdown

_INTRODUCTION = """
A target has two states at any time: its own, and the one in which its source sees it. They differ while a message is on
its way. `dkrepl status` shows, on the source, the second for each target, and on a target the first.
"""
_ILLEGAL = """
An event that the table does not have for the present state changes nothing. If this node caused it the daemon ends, for
what it would do next rests on a wrong belief (`LocalProtocolError`); if a peer caused it, it is refused, counted and
reported (`message_refused`).
"""


def reference() -> str:
    """Return the page."""
    states = [(f"`{state}`", "yes" if state in IN_STREAM else "no", meaning) for state, meaning in STATES.items()]
    return markdown.page(
        "States of a target",
        "dkrepl/core/states.py",
        _INTRODUCTION.strip(),
        markdown.table(("state", "in the stream", "meaning"), states),
        "## As its source sees it",
        _diagram(SEEN_BY_SOURCE),
        _table(SEEN_BY_SOURCE),
        "## As it sees itself",
        _diagram(OF_TARGET),
        _table(OF_TARGET),
        "## Anything else",
        _ILLEGAL.strip(),
    )


def _diagram(table: Mapping[str, Event]) -> str:
    """Return a Mermaid diagram: one arrow for each pair of states, with the events that lead from one to the other."""
    arrows: dict[tuple[TargetState, TargetState], list[str]] = {}
    for name, event in table.items():
        for before, after in event.moves.items():
            if before != after:
                arrows.setdefault((before, after), []).append(name)
    lines = [f"    {before} --> {after}: {', '.join(names)}" for (before, after), names in sorted(arrows.items())]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> Disconnected", *lines, "```"])


def _table(table: Mapping[str, Event]) -> str:
    rows = []
    for name, event in table.items():
        [after] = set(event.moves.values())
        before = ", ".join(f"`{state}`" for state in STATES if state in event.moves)
        rows.append((name, event.by, event.when, before, f"`{after}`"))
    return markdown.table(("event", "caused by", "when", "in state", "then"), rows)
