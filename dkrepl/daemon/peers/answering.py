"""Answers the questions of peers, at the control port of a source as well as at that of any other node."""

from __future__ import annotations

from collections.abc import Callable

from dkrepl.config.description import Description
from dkrepl.core.election.node_identity import RoleReport, answer_to, described
from dkrepl.core.protocol import messages
from dkrepl.core.protocol.frames import Ack
from dkrepl.core.protocol.messages import Ask, Describe


class Answering:
    """``report`` returns what the role says of the node; it is called for each ``Ask``, which may want a vote."""

    def __init__(self, description: Description, node: str, report: Callable[[Ask], RoleReport]) -> None:
        self._description = description
        self._node = node
        self._report = report

    def answer(self, message: messages.AnyMessage | Ack) -> bytes | None:
        """Return the frame that answers a question whose sender has been checked; None: it is no question."""
        match message:
            case Ask():
                return messages.encode(answer_to(message, self._description, self._report(message)))
            case Describe():
                return messages.encode(described(self._description, self._node))
            case _:
                return None
