"""Rule R7: what a node holds, and whether a source's past contains it."""

from __future__ import annotations

from tests.simulation.truth import Point, Session


def lost(sessions: dict[int, Session], name: str, point: Point, session: Session | None) -> str:
    """Say what of ``point`` is not in the past of ``session``, and was answered because ``name`` has it."""
    origin, seq = point
    while (began := sessions[origin]).parent and not began.wrote(seq):
        origin, seq = began.parent
    while session is not None:
        if session.number == origin:
            return ""
        if session.parent is None:
            break
        number, upto = session.parent
        parent = sessions[number]
        if number == origin:
            known = parent.unseen.get(session.node, 0)
            answered = min(seq, known if name == parent.node else parent.relied.get((session.node, name), 0))
            alone = session.node != parent.node and seq > upto and answered > upto
            return f"writes {upto + 1} to {answered} of {parent.node}" if alone else ""
        session = parent
    return f"everything of session {origin:x}"
