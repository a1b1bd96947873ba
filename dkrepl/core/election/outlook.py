"""What would be lost if one node or the other were promoted: seconds and bytes, as far as those who answer know.

They mean "at least": no node that answers knows what a silent source acknowledged on its own.
"""

from __future__ import annotations

import msgspec

from dkrepl.config.description import Description
from dkrepl.core.election.objections import Lineage, lineage, lived_on
from dkrepl.core.protocol.messages import Answer, Copy

_NOTHING = Copy()


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """One node: what it is, and what would be lost if it were promoted now. Null is: not known."""

    node: str
    mode: str
    reachable: bool
    role: str | None = None  # "source", "target" or "arbitrating", which is a former source that has not decided yet
    state: str | None = None
    store_state: str | None = None
    generation: str | None = None
    lineage: Lineage | None = None  # of its generation, seen from the node that asks
    hears: str | None = None  # the source that it hears
    in_sync_as_of: float | None = None  # Unix seconds, by the clock of the source that it followed
    lost_seconds: float | None = None  # at least
    lost_bytes: int | None = None  # at least
    overwritten_bytes: int | None = None  # of what it holds, later, if the node that asks is promoted


def outlook_of(description: Description, name: str, own: Answer, answer: Answer | None, there: list[Answer]) -> Outlook:
    """Return the outlook of the node ``name``, which said ``answer``, if it answered.

    ``own``: what the node says that asks; ``there``: all that answered, that one among them.
    """
    seconds, lost = _loss(description, own, there)
    if answer is None:
        follows = own.copy.follows if own.copy else ""
        return Outlook(
            node=name,
            mode=description.node(name).mode,
            reachable=False,
            overwritten_bytes=lost if lost and name == follows else None,
        )
    copy, overwritten = answer.copy or _NOTHING, None
    if answer is own:
        overwritten = 0
    else:
        overwritten = _overwritten(own, answer)
        seconds, lost = (None, None) if answer.role == "source" else _loss(description, answer, there)
    return Outlook(
        node=name,
        mode=description.node(name).mode,
        reachable=True,
        role=answer.role,
        state=copy.state or None,
        store_state=copy.store_state or None,
        generation=answer.generation,
        lineage=lineage(own, answer),
        hears=copy.hears or None,
        in_sync_as_of=copy.in_sync_as_of if copy.store_state != "Inconsistent" else None,
        lost_seconds=seconds,
        lost_bytes=lost,
        overwritten_bytes=overwritten,
    )


def _loss(description: Description, node: Answer, there: list[Answer]) -> tuple[float | None, int | None]:
    """Return seconds and bytes of acknowledged writes that a copy lacks, according to the nodes that answered."""
    copy = node.copy or _NOTHING
    if copy.store_state == "Inconsistent":
        return None, None
    others = [other for other in there if other is not node]
    ahead = [other for other in others if lineage(node, other) in ("newer", "diverged")]
    if node.role == "arbitrating":
        return (None, None) if ahead else (0.0, 0)
    kept = copy.mode == "sync" and copy.in_sync_when_lost
    if kept and not ahead and not any(lived_on(description, copy, other.copy or _NOTHING) for other in others):
        return 0.0, 0  # R4: what the source acknowledged is here
    if any(not other.copy or not copy.session or other.copy.session != copy.session for other in ahead):
        return None, None  # newer data, of another session: how much cannot be told
    fellows = [other.copy for other in there if other.copy and copy.session and other.copy.session == copy.session]
    lost = copy.missing_bytes
    if lost is None and fellows:
        lost = max(max(fellow.head_bytes, fellow.applied_bytes) for fellow in fellows) - copy.applied_bytes
    heard = [fellow.heard_at for fellow in (*fellows, copy) if fellow.heard_at is not None]
    if lost == 0 and not ahead:
        return 0.0, 0
    if copy.in_sync_as_of is None or not heard:
        return None, lost
    return round(max(max(heard) - copy.in_sync_as_of, 0.0), 3), lost


def _overwritten(own: Answer, other: Answer) -> int | None:
    """Return how many bytes of what a peer holds are not here: they give way if this node is promoted."""
    kin = lineage(own, other)
    mine, theirs = own.copy or _NOTHING, other.copy or _NOTHING
    if mine.session and mine.session == theirs.session:
        return max(theirs.applied_bytes - mine.applied_bytes, 0)
    return 0 if kin == "older" else None
