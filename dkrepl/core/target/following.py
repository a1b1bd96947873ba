"""The source that a target follows: its own state towards it, its entry into the stream, and how it leaves."""

from __future__ import annotations

from dkrepl.config.description import Description
from dkrepl.config.limits import Limits
from dkrepl.core import states
from dkrepl.core.actions import Disconnect, TargetAction
from dkrepl.core.outbox import Outbox
from dkrepl.core.protocol.messages import Trouble
from dkrepl.core.states import EventOfTarget, TargetState
from dkrepl.core.target.hello import HelloTimer
from dkrepl.core.target.progress import Progress
from dkrepl.core.target.source_view import Entry, Position, SourceView
from dkrepl.errors import ProtocolError


class Following:
    """Holds the state of a target towards its source, and is the only one that changes it.

    ``entry``: from the Welcome on; ``position``: while in the stream; ``reason``: why it is not InSync.
    """

    def __init__(
        self,
        *,
        description: Description,
        node: str,
        progress: Progress,
        out: Outbox[TargetAction],
        limits: Limits,
    ) -> None:
        self.node = node
        self.source = SourceView(description.peer_timeout, description.store_timeout)
        self.entry: Entry | None = None
        self.position: Position | None = None
        self.last_applied = 0  # in the stream that it was in last
        self.reason: str | None = "no source has answered yet"
        self.hello = HelloTimer(limits)
        self.in_sync_when_lost = False  # whether it was InSync until the source fell silent
        self.unanswered_break = False  # the stream broke while InSync, and the source is silent since
        self.gave_up = 0  # the epoch that the last Trouble was about
        self.messages_refused = 0  # messages of peers that the state does not allow
        self._progress = progress
        self._out = out
        self._machine = states.Machine(node, states.OF_TARGET)

    @property
    def state(self) -> TargetState:
        """The state, as this node sees itself."""
        return self._machine.state

    @property
    def in_stream(self) -> bool:
        """Whether it is in the stream of a source."""
        return self.position is not None

    @property
    def session(self) -> int:
        """The session of its entry into a stream, 0 without one."""
        return self.entry.session if self.entry is not None else 0

    @property
    def epoch(self) -> int:
        """The number of the entry into a stream, 0 without one."""
        return self.entry.epoch if self.entry is not None else 0

    @property
    def applied(self) -> int:
        """The seq of the newest live write applied, in the stream that it is in or was in last."""
        return self.position.applied if self.position is not None else self.last_applied

    @property
    def resync_applied(self) -> int:
        """The number of the newest message of the present resync that is applied."""
        return self.position.resync_applied if self.position is not None else 0

    def begin(self, entry: Entry) -> None:
        """A Welcome was accepted."""
        self.unsubscribe()
        self.entry, self.position = entry, None

    def started(self, position: Position) -> None:
        """It is in the stream from now on."""
        self.position = position
        self._progress.begin(position)

    def trouble(self, code: str, text: str, now: float, retry: float = 0.5) -> None:
        """Leave the stream for a reason of this node's own, and tell the source; say Hello in ``retry`` seconds."""
        if self.source.name and self.entry is not None:
            self._out.send(self.source.name, Trouble(self.epoch, code, text[:1000]))
        self.gave_up = self.epoch
        unanswered = self.state == "InSync" and code in ("BadFrame", "Gap")
        self.leave("own trouble", text, now, retry)
        self.unanswered_break = unanswered

    def leave(self, event: EventOfTarget, reason: str, now: float, retry: float) -> None:
        """Leave the stream, if in one; say Hello in ``retry`` seconds."""
        before = self.state
        if not self.fire(event, reason):
            return
        self.unsubscribe()
        if self.position is not None:
            self.hello.left(now)
            self.last_applied = self.position.applied
        self.position = self.entry = None
        self._progress.leave()
        if self.state != "Disconnected":
            self.in_sync_when_lost = False
        elif before != "Disconnected":
            # The connections of a source that dies break one after the other: the stream's may be first.
            self.in_sync_when_lost = before == "InSync" or self.unanswered_break
        self.unanswered_break = False
        self.source.resync = None
        if self.state == "Disconnected":
            self.source.forget()
        self.hello.restart(now + retry)

    def unsubscribe(self) -> None:
        """Take nothing of the stream any more."""
        if self.entry is not None and self.entry.subscribed and self.source.name:
            self._out.add(Disconnect(self.source.name))
            self.entry.subscribed = False

    def fire(self, event: EventOfTarget, reason: str | None) -> bool:
        """Change the state as the table says; False if a peer caused what the state does not allow (core/states.py)."""
        try:
            before = self._machine.fire(event)
        except ProtocolError as error:
            self.messages_refused += 1
            self._out.report("message_refused", "warning", reason=str(error))
            return False
        after = self._machine.state
        if after != before:
            level = "info" if after in ("Connecting", "Resyncing", "InSync", "Paused") else "warning"
            self._out.report("target_state", level, target=self.node, before=before, after=after, reason=reason)
        self.reason = reason
        return True
