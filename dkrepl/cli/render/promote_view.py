"""How a dry run of a promotion is drawn: a table of the nodes, what it means, and the command that goes on."""

from __future__ import annotations

from datetime import datetime

from rich.table import Table

from dkrepl.cli.render.output import clean, console
from dkrepl.config.units import format_duration, format_size
from dkrepl.core.election.outlook import Outlook
from dkrepl.core.election.promotion import Assessment

_COLUMNS = ("node", "mode", "is", "copy", "generation", "last in sync", "lost if promoted", "overwritten later")


def draw(found: Assessment) -> None:
    """Print what a promotion means."""
    out = console()
    table = Table(*_COLUMNS, box=None, pad_edge=False, header_style="bold")
    for node in found.nodes:
        table.add_row(*map(clean, _row(node, node.node == found.node, node.node == found.recommended)))
    out.print(table)
    out.print()
    for code, reason in zip(found.codes, found.reasons, strict=True):
        out.print(f"  - {clean(code)}: {clean(reason)}")
    if found.remedy:
        out.print(f"  To make it safe: {clean(found.remedy)}")
    out.print(clean(_verdict(found)))


def _row(node: Outlook, here: bool, best: bool) -> tuple[str, ...]:
    name = node.node + (" (here)" if here else "") + (" *" if best else "")
    if not node.reachable:
        return (name, node.mode, "not reachable", "?", "?", "?", "?", _at_least(node.overwritten_bytes))
    state = f"{node.role}, {node.state}" if node.state else str(node.role)
    return (
        name,
        node.mode,
        state + (f", hears {node.hears}" if node.hears else ""),
        node.store_state or "",
        f"{node.generation or 'none'}" + (f" ({node.lineage})" if node.lineage not in (None, "same") else ""),
        _moment(node.in_sync_as_of),
        _lost(node),
        _at_least(node.overwritten_bytes) if not here else "",
    )


def _lost(node: Outlook) -> str:
    if node.role == "source":
        return ""
    if node.store_state == "Inconsistent":
        return "unusable: resync incomplete"
    if node.lost_bytes == 0:
        return "nothing known"
    size = "unknown" if node.lost_bytes is None else f"at least {format_size(node.lost_bytes)}"
    return size if node.lost_seconds is None else f"{size}, {format_duration(node.lost_seconds)}"


def _at_least(size: int | None) -> str:
    return "?" if size is None else "nothing known" if size == 0 else f"at least {format_size(size)}"


def _moment(time: float | None) -> str:
    return "not known" if time is None else datetime.fromtimestamp(time).astimezone().isoformat(" ", "seconds")


def _verdict(found: Assessment) -> str:
    if not found.possible:
        return f"{found.node} cannot be promoted now, not even by force."
    if found.safe:
        given = "".join(f" --fenced {one.node}" for one in found.not_answered if one.fenced)
        trusting = ", if the nodes declared fenced were off in time" if given else ""
        return f"Nothing that was acknowledged is lost{trusting}: `dkrepl promote {found.mirror}{given}`"
    least = f" {found.recommended} loses least." if found.recommended not in (None, found.node) else ""
    return f"Data may be lost.{least} If that is what you want: `dkrepl promote {found.mirror} --force {found.token}`"
