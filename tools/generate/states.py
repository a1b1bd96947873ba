"""The reference of a target's states: diagrams and tables of both sides."""

from __future__ import annotations

from collections.abc import Mapping

from dkrepl.core.states import IN_STREAM, OF_TARGET, SEEN_BY_SOURCE, STATES, Event
from tools.generate import markdown, state_diagram

_INTRODUCTION = """
A target has two states at any time: its own, and the one in which its source sees it. They differ while a message is on
its way. `dkrepl status` shows, on the source, the second for each target, and on a target the first. What they mean for
you: [states of a target](../concepts/source-and-targets.md#states-of-a-target).
"""
_ILLEGAL = """
An event that the table does not have for the present state changes nothing. If this node caused it, the daemon ends,
for what it would do next rests on a wrong belief (`LocalProtocolError`); if a peer caused it, it is refused, counted
(`messages_refused` in the [status](status.md#counters-of-a-target) of a target), and reported (`message_refused`).
"""
_OTHERS = """
## Source

| state | meaning |
| --- | --- |
| `Starting` | the device is not there yet. With a `reason`: a former source asks its peers |
| `Serving` | applications can use the device |
| `Stopping` | the daemon ends, or changes its role |

## Copy

`store_state` of a node.

| state | meaning |
| --- | --- |
| `Empty` | initialised with an empty store; nothing was ever written |
| `Consistent` | the data of one moment |
| `Inconsistent` | part old, part new: in the middle of a resync, or its store failed; also a target that was \
initialised with `--overwrite-data`, until its first resync. Not promoted without force |
"""
_DIAGRAM_AT_SOURCE = "States of a target, as its source sees it"
_DIAGRAM_OF_TARGET = "States of a target, as it sees itself"


def reference() -> str:
    """Return the page."""
    states = [(f"`{state}`", "yes" if state in IN_STREAM else "no", meaning) for state, meaning in STATES.items()]
    return markdown.page(
        "States",
        "dkrepl/core/states.py",
        "All lists are closed.",
        "## Target",
        _INTRODUCTION.strip(),
        markdown.table(("state", "in the stream", "meaning"), states),
        "### As its source sees it",
        f"![{_DIAGRAM_AT_SOURCE}](../img/states-at-source.svg)",
        _table(SEEN_BY_SOURCE),
        "### As it sees itself",
        f"![{_DIAGRAM_OF_TARGET}](../img/states-of-target.svg)",
        _table(OF_TARGET),
        "### Anything else",
        _ILLEGAL.strip(),
        _OTHERS.strip(),
    )


def at_source() -> str:
    """Return the diagram of the states in which a source sees a target."""
    return state_diagram.diagram(_DIAGRAM_AT_SOURCE, SEEN_BY_SOURCE)


def of_target() -> str:
    """Return the diagram of the states of a target itself."""
    return state_diagram.diagram(_DIAGRAM_OF_TARGET, OF_TARGET)


def _table(table: Mapping[str, Event]) -> str:
    rows = []
    for name, event in table.items():
        [after] = set(event.moves.values())
        before = ", ".join(f"`{state}`" for state in STATES if state in event.moves)
        rows.append((name, event.by, event.when, before, f"`{after}`"))
    return markdown.table(("event", "caused by", "when", "in state", "then"), rows)
