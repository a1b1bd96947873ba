"""The states of a target, and every transition between them, as data.

A state changes only by an event of one of the two tables below, and only in ``Machine.fire`` (R10: there is a closed
list of states). A table knows nothing of the code that fires its events. An event that the table does not have for the
present state changes nothing. If this node caused it, that is a mistake in the program: ``LocalProtocolError`` ends the
daemon, for what it would do next rests on a wrong belief. If a peer caused it, it is refused and counted:
``ProtocolError``.

A target has two states at any time: its own, and the one in which its source sees it. They differ while a message is on
its way, so each side has a table of its own. The pages in docs/reference are generated from this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dkrepl.errors import LocalProtocolError, ProtocolError

TargetState = Literal["Disconnected", "Connecting", "Resyncing", "InSync", "Behind", "Paused", "Refused"]

STATES: dict[TargetState, str] = {
    "Disconnected": "not connected; the bitmap collects what the target misses",
    "Connecting": "the handshake is under way",
    "Resyncing": "in the stream, and blocks that the bitmap names are being copied",
    "InSync": "in the stream, and no block is dirty but those in the window",
    "Behind": "connected, but out of the stream; a resync will follow",
    "Paused": "kept out of the stream by the administrator",
    "Refused": "may not join; the reason says why, and what to do",
}
IN_STREAM: frozenset[TargetState] = frozenset(("Resyncing", "InSync"))

EventSeenBySource = Literal[
    "hello accepted", "entered", "copied", "evicted", "hello refused", "paused", "resumed", "connection lost"
]
EventOfTarget = Literal[
    "welcomed", "start seen", "synced recorded", "evicted", "paused", "refused", "own trouble", "saving", "source lost"
]


@dataclass(frozen=True)
class Event:
    """``by``: who causes it; ``when``: the occasion, for the reference; ``moves``: from each state that allows it."""

    by: Literal["this node", "peer"]
    when: str
    moves: Mapping[TargetState, TargetState]


def _to(after: TargetState, *before: TargetState) -> dict[TargetState, TargetState]:
    return dict.fromkeys(before, after)


SEEN_BY_SOURCE: dict[str, Event] = {
    "hello accepted": Event(
        "this node",
        "a Hello may be answered with Welcome; a target that is in the stream is disconnected first",
        _to("Connecting", "Disconnected", "Behind", "Refused"),
    ),
    "entered": Event("this node", "Ready came, and its epoch is recorded", _to("Resyncing", "Connecting")),
    "copied": Event("this node", "the SYNCED marker is confirmed as durable", _to("InSync", "Resyncing")),
    "evicted": Event(
        "this node",
        "its window is full under on_full = bitmap, it makes no progress, it reported trouble, its ack cannot be true, "
        "or the source cannot copy to it",
        _to("Behind", "Connecting", "Resyncing", "InSync"),
    ),
    "hello refused": Event(
        "this node",
        "a Hello may not be answered with Welcome",
        _to("Refused", "Disconnected", "Connecting", "Resyncing", "InSync", "Behind", "Refused"),
    ),
    "paused": Event(
        "this node",
        "dkrepl pause",
        _to("Paused", "Disconnected", "Connecting", "Resyncing", "InSync", "Behind", "Refused"),
    ),
    "resumed": Event("this node", "dkrepl resume", _to("Disconnected", "Paused")),
    "connection lost": Event(
        "this node",
        "nothing was heard for peer_timeout, its connection is gone, it said Bye, or it connected anew",
        _to("Disconnected", "Connecting", "Resyncing", "InSync", "Behind", "Refused"),
    ),
}
"""A target, as its source sees it."""

_OUT: tuple[TargetState, ...] = ("Disconnected", "Behind", "Paused", "Refused")

OF_TARGET: dict[str, Event] = {
    "welcomed": Event("peer", "a Welcome came that this node may follow", _to("Connecting", *_OUT, "Connecting")),
    "start seen": Event("peer", "the START marker of this epoch came", _to("Resyncing", "Connecting")),
    "synced recorded": Event(
        "this node", "the SYNCED marker came, and all that it means is recorded", _to("InSync", "Resyncing")
    ),
    "evicted": Event(
        "peer",
        "Evict came",
        _to("Behind", "Connecting", "Resyncing", "InSync", "Behind", "Paused", "Refused"),
    ),
    "paused": Event(
        "peer",
        "Evict or Refuse came with the code Paused",
        _to("Paused", *_OUT, "Connecting", "Resyncing", "InSync"),
    ),
    "refused": Event(
        "peer",
        "Refuse came, or a Welcome that this node may not follow",
        _to("Refused", *_OUT, "Connecting"),
    ),
    "own trouble": Event(
        "this node",
        "a gap or a bad frame in the stream, or the store or the state directory failed",
        _to("Behind", *_OUT, "Connecting", "Resyncing", "InSync"),
    ),
    "saving": Event(
        "this node",
        "blocks that only this node has are saved before it follows",
        _to("Behind", *_OUT, "Connecting"),
    ),
    "source lost": Event(
        "this node",
        "nothing was heard for peer_timeout, the source stopped or was restarted, or this node votes for another",
        _to("Disconnected", *_OUT, "Connecting", "Resyncing", "InSync"),
    ),
}
"""A target, as it sees itself."""


class Machine:
    """The state of one target, as one side sees it; begins as Disconnected."""

    __slots__ = ("_name", "_table", "state")

    def __init__(self, name: str, table: Mapping[str, Event]) -> None:
        self._name = name
        self._table = table
        self.state: TargetState = "Disconnected"

    def fire(self, event: EventSeenBySource | EventOfTarget) -> TargetState:
        """Change the state as the table says; return the one before.

        Raises ``LocalProtocolError`` or ``ProtocolError`` (see above) if the table has no such event in this state;
        then nothing has changed.
        """
        found, before = self._table[event], self.state
        after = found.moves.get(before)
        if after is None:
            text = f"{self._name} is {before}, which has no event {event!r}"
            raise ProtocolError(text) if found.by == "peer" else LocalProtocolError(text)
        self.state = after
        return before
