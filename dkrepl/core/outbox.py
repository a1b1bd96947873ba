"""Where the core puts what it wants done: control messages, events, and everything else that is an action."""

from __future__ import annotations

from typing import Generic, TypeVar

from dkrepl.core.actions import Event, Send
from dkrepl.core.protocol.messages import Message

A = TypeVar("A")


class Outbox(Generic[A]):
    """``actions`` are carried out by the caller in this order, and taken out of the list."""

    def __init__(self) -> None:
        self.actions: list[A | Send | Event] = []

    def add(self, action: A) -> None:
        """Have ``action`` carried out."""
        self.actions.append(action)

    def send(self, peer: str, message: Message) -> None:
        """Send a control message."""
        self.actions.append(Send(peer, message))

    def report(self, name: str, level: str = "info", **fields: object) -> None:
        """Report an event to the administrator: a stable name, a level, and fields."""
        self.actions.append(Event(name, level, fields))
