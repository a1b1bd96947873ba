"""Rule R7: what a node holds, and whether a source's past contains it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulation.truth import Point, Session


@dataclass(frozen=True)
class Lost:
    """Records ``first`` to ``last`` of a session, which a source's past does not contain."""

    session: Session
    first: int
    last: int

    def __str__(self) -> str:
        return f"writes {self.first} to {self.last} of {self.session.node} (session {self.session.number:x})"


def lost(sessions: dict[int, Session], name: str, point: Point, session: Session | None) -> Lost | None:
    """Return what of ``point`` is not in the past of ``session``, and was answered because ``name`` has it."""
    origin, seq = point
    while (began := sessions[origin]).parent and not began.wrote(seq):
        origin, seq = began.parent
    while session is not None:
        if session.number == origin:
            return None
        if session.parent is None:
            if session.forced:  # an administrator said that it is to be used, whatever it holds
                return None
            break
        number, upto = session.parent
        parent = sessions[number]
        if number == origin:
            known = parent.unseen.get(session.node, 0)
            answered = min(seq, known if name == parent.node else parent.relied.get((session.node, name), 0))
            alone = session.node != parent.node and seq > upto and answered > upto
            return Lost(parent, upto + 1, answered) if alone else None
        session = parent
    return Lost(sessions[origin], 1, seq)
