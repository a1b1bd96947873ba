"""Diagrams of a target's states, as SVG: an arrow for each pair of states, one for an event of nearly any state."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from math import hypot

from dkrepl.core.states import IN_STREAM, STATES, Event, TargetState

_MANY = 3  # an event of more states than this is one arrow with a list, for nobody could follow so many
_WIDTH, _HEIGHT = 124, 38  # of a state's box
_PLACES: dict[TargetState, tuple[int, int]] = {
    "Disconnected": (110, 120),
    "Connecting": (350, 120),
    "Resyncing": (585, 120),
    "InSync": (830, 120),
    "Paused": (110, 270),
    "Refused": (350, 270),
    "Behind": (585, 270),
}
_ROWS = (120, 270)  # above the upper row and below the lower one is room for lists

_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 940 390" width="940" height="390" role="img"
     aria-labelledby="title" font-family="system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="13">
  <title id="title">{title}</title>
  <style>
    .page {{ fill: #ffffff; }}
    .box {{ fill: #f4f6f8; stroke: #57606a; }}
    .stream {{ fill: #dbeafe; stroke: #2f6fbd; }}
    .text {{ fill: #1f2328; }}
    .state {{ fill: #1f2328; font-weight: 600; font-size: 14px; }}
    .line {{ stroke: #57606a; stroke-width: 1.3; }}
    .tip {{ fill: #57606a; }}
    @media (prefers-color-scheme: dark) {{
      .page {{ fill: #0d1117; }}
      .box {{ fill: #161b22; stroke: #8b949e; }}
      .stream {{ fill: #12294a; stroke: #58a6ff; }}
      .text, .state {{ fill: #e6edf3; }}
      .line {{ stroke: #8b949e; }}
      .tip {{ fill: #8b949e; }}
    }}
  </style>
  <defs>
    <marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">
      <path class="tip" d="M0 0 10 5 0 10z"/>
    </marker>
  </defs>
  <rect class="page" width="940" height="390" rx="8"/>"""


def diagram(title: str, table: Mapping[str, Event]) -> str:
    """Return the diagram of a table of ``core/states.py``; the states of the stream have a colour of their own."""
    arrows: dict[tuple[TargetState, TargetState], list[str]] = {}
    lists: dict[TargetState, list[str]] = {}
    for name, event in table.items():
        moves = [(before, after) for before, after in event.moves.items() if before != after]
        if len(moves) > _MANY:
            after = moves[0][1]
            lists.setdefault(after, []).append(f"{name}, {_from({before for before, _ in moves}, after)}")
            continue
        for move in moves:
            arrows.setdefault(move, []).append(name)
    parts = [_HEAD.format(title=escape(title))]
    for (before, after), names in arrows.items():
        parts.append(_arrow(before, after, ", ".join(names), aside=8 if (after, before) in arrows else 0))
    parts += [_list(after, lines) for after, lines in lists.items()]
    parts += [_box(state, "stream" if state in IN_STREAM else "box") for state in STATES]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _from(before: set[TargetState], after: TargetState) -> str:
    if before == set(STATES) - IN_STREAM - {after}:
        return "from any not in the stream"
    others = [state for state in STATES if state not in before and state != after]
    return f"from any but {', '.join(others)}" if others else "from any"


def _box(state: TargetState, kind: str) -> str:
    x, y = _PLACES[state]
    return (
        f'  <rect class="{kind}" x="{x - _WIDTH // 2}" y="{y - _HEIGHT // 2}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'rx="6"/>\n  <text class="state" x="{x}" y="{y + 5}" text-anchor="middle">{state}</text>'
    )


def _list(after: TargetState, lines: list[str]) -> str:
    """Return an arrow into a state from above or below, with a line of text for each event."""
    x, y = _PLACES[after]
    up = -1 if y == _ROWS[0] else 1
    border, end = y + up * _HEIGHT // 2, y + up * (_HEIGHT // 2 + 26)
    first = end + (-6 - 16 * (len(lines) - 1) if up < 0 else 16)
    parts = [f'  <line class="line" x1="{x}" y1="{end}" x2="{x}" y2="{border}" marker-end="url(#tip)"/>']
    for number, line in enumerate(lines):
        left = x - _WIDTH // 2
        parts.append(f'  <text class="text" x="{left}" y="{first + 16 * number}">{escape(line)}</text>')
    return "\n".join(parts)


def _arrow(before: TargetState, after: TargetState, label: str, aside: int) -> str:
    """Return an arrow from border to border, ``aside`` from the middle, so that one in the other direction has room."""
    (x1, y1), (x2, y2) = _PLACES[before], _PLACES[after]
    length = hypot(x2 - x1, y2 - y1)
    left_x, left_y = (y2 - y1) / length, (x1 - x2) / length
    aside_x, aside_y = left_x * aside, left_y * aside
    start_x, start_y = _border((x1, y1), (x2, y2))
    end_x, end_y = _border((x2, y2), (x1, y1))
    middle_x, middle_y = (start_x + end_x) / 2 + aside_x, (start_y + end_y) / 2 + aside_y
    flat = y1 == y2
    anchor = "middle" if flat else "start" if left_x > 0 else "end"
    return (
        f'  <line class="line" x1="{start_x + aside_x:.0f}" y1="{start_y + aside_y:.0f}" '
        f'x2="{end_x + aside_x:.0f}" y2="{end_y + aside_y:.0f}" marker-end="url(#tip)"/>\n'
        f'  <text class="text" x="{middle_x + left_x * (0 if flat else 10):.0f}" '
        f'y="{middle_y + (-6 if flat else 4 + left_y * 6):.0f}" text-anchor="{anchor}">{escape(label)}</text>'
    )


def _border(inside: tuple[int, int], towards: tuple[int, int]) -> tuple[float, float]:
    """Return where the line from the middle of a box leaves it."""
    dx, dy = towards[0] - inside[0], towards[1] - inside[1]
    share = min(_WIDTH / 2 / abs(dx) if dx else 1.0, _HEIGHT / 2 / abs(dy) if dy else 1.0)
    return inside[0] + dx * share, inside[1] + dy * share
