"""``adopt``: stop applying the former description (R14)."""

from __future__ import annotations

from dkrepl.api.answers import Adopted
from dkrepl.api.requests import Adopt
from dkrepl.daemon.control.desk import Desk
from dkrepl.daemon.control.reply import Reply
from dkrepl.errors import Refused


def carry_out(desk: Desk, request: Adopt, reply: Reply) -> None:
    """Count the nodes that are fenced as knowing the present description; they must never use the former one again."""
    runtime = desk.source("adopt a description")
    fenced, known_terms = desk.other_nodes(request.fenced), runtime.source.known_terms
    if missing := known_terms.missing(*fenced):
        raise Refused(
            f"{', '.join(missing)} may still use the old description, and could be promoted by it, so nothing was "
            "changed: start them with the new one, or, if they are off for good, declare so many of them fenced "
            "that the rest are too few (--fenced NODE)"
        )
    commit = known_terms.known_by(*fenced)
    desk.when_recorded(reply, commit, lambda: reply.done(Adopted(desk.mirror, desk.node, fenced)))
