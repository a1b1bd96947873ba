"""``events``: what happened to the mirror, and what happens, without asking the loop."""

from __future__ import annotations

from collections.abc import Iterator

from dkrepl.api.lines import Line
from dkrepl.api.requests import Events
from dkrepl.daemon.events import EventLog

_SIGN_OF_LIFE = 5.0  # seconds without an event after which a client that follows is told that it goes on


def lines(log: EventLog, request: Events) -> Iterator[Line]:
    """Yield the events that are remembered, and with ``follow`` those that come. In the client's thread."""
    found, position = log.since(request.since)
    for event in found:
        yield Line(progress=event)
    while request.follow:
        new, position = log.wait(position, _SIGN_OF_LIFE)
        for event in new:
            yield Line(progress=event)
        if not new:
            yield Line(progress={})
    yield Line(ok={})
