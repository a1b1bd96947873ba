"""A core that a test drives: its actions are carried out, and noted."""

from __future__ import annotations

from typing import Generic, TypeVar

from dkrepl.core.actions import Commit, Event, FlushStore, Send, SourceAction, TargetAction
from dkrepl.core.protocol.messages import AnyMessage, Message
from dkrepl.core.source.source import Source
from dkrepl.core.target.target import Target

Action = SourceAction | TargetAction
CoreT = TypeVar("CoreT", Source, Target)
MessageT = TypeVar("MessageT", bound=Message)
ActionT = TypeVar("ActionT", bound=Action)


class Driven(Generic[CoreT]):
    """``core``: a source or a target; ``done``: what it asked for, the newest last; ``now``: monotonic seconds.

    Commits and flushes are carried out at once, unless ``holds`` is set. ``stalled``: for how long its store stands.
    """

    def __init__(self, core: CoreT) -> None:
        self.core: CoreT = core
        self.now = 1.0
        self.holds = False
        self.stalled = 0.0
        self.done: list[Action] = []

    def perform(self) -> list[Action]:
        """Carry out what it asks for; return that."""
        new: list[Action] = []
        while self.core.actions:
            action = self.core.actions.pop(0)
            new.append(action)
            if isinstance(action, Commit) and not self.holds:
                self.committed(action.number)
            elif isinstance(action, FlushStore) and not self.holds:
                self.flush(action.number)
        self.done += new
        return new

    def committed(self, number: int) -> None:
        """Let a commit end well."""
        raise NotImplementedError

    def flush(self, number: int) -> None:
        """Flush its store."""
        raise NotImplementedError

    def say(self, message: AnyMessage, peer: str) -> list[Action]:
        """Let ``peer`` say something to it; return what it does."""
        self.core.on_message(peer, message, self.now)
        return self.perform()

    def sent(self, kind: type[MessageT], peer: str) -> list[MessageT]:
        """Return the control messages of that kind that it has sent to ``peer``."""
        messages = [action.message for action in self.done if isinstance(action, Send) and action.peer == peer]
        return [message for message in messages if isinstance(message, kind)]

    def asked_for(self, kind: type[ActionT]) -> list[ActionT]:
        """Return the actions of that kind that it has asked for."""
        return [action for action in self.done if isinstance(action, kind)]

    def reported(self) -> list[str]:
        """Return the names of the events that it has reported."""
        return [action.name for action in self.done if isinstance(action, Event)]
