"""How a target ends cleanly: nothing more is applied, and what was applied is made durable and recorded so.

commits     wait for those on their way
settling    the store and the bitmaps are made durable, and that is recorded
flushing    a last flush of the store, so that the last ack is true
recording   only if a flush failed: this copy is Inconsistent, and must not be source (R15)
ended
"""

from __future__ import annotations

from typing import Literal

import msgspec

from dkrepl.core.actions import Ended, Settle, TargetAction
from dkrepl.core.outbox import Outbox
from dkrepl.core.protocol.messages import Bye
from dkrepl.core.target.following import Following
from dkrepl.core.target.progress import Progress
from dkrepl.core.target.record import TargetRecord

Stage = Literal["running", "commits", "settling", "flushing", "recording", "ended"]


class Ending:
    """Takes a target from one stage of its end to the next; ``Ended`` is the last action."""

    def __init__(
        self, *, following: Following, record: TargetRecord, progress: Progress, out: Outbox[TargetAction]
    ) -> None:
        self.stage: Stage = "running"
        self._following = following
        self._record = record
        self._progress = progress
        self._out = out
        self._last_flush = 0

    @property
    def begun(self) -> bool:
        """Whether it has begun: nothing more is applied."""
        return self.stage != "running"

    def begin(self) -> None:
        """Nothing more is applied; the caller has seen to that."""
        self.stage = "commits"
        self.commit_ended(None)

    def commit_ended(self, why: str | None) -> None:
        """A commit has ended; ``why``: it failed."""
        if self._record.waiting:
            return
        if self.stage == "commits":
            self.stage = "settling"
            self._out.add(Settle(self._record.metadata))
        elif self.stage == "recording":
            self._end(why, unsound=True)

    def settled(self, why: str | None, store: bool = False) -> None:
        """Store and bitmaps are durable, and recorded so; or ``why`` not; ``store``: the store's flush failed."""
        if why is not None and store:
            self._unsound(why)
            return
        if why is not None:
            self._out.report("commit_failed", "error", reason=why)
        self.stage = "flushing"
        self.flush_ended(0, None)

    def flush_ended(self, number: int, why: str | None) -> None:
        """A flush of the store has ended; ``why``: it failed."""
        if self.stage != "flushing":
            return
        if number and number == self._last_flush:
            if why is None:
                self._end()
            else:
                self._unsound(why)
        elif not self._progress.flushing:
            self._last_flush = self._progress.flush()

    def _unsound(self, why: str) -> None:
        self._out.report("store_failed", "error", reason=why)
        self.stage = "recording"
        self._record.commit("inconsistent", msgspec.structs.replace(self._record.metadata, store_state="Inconsistent"))

    def _end(self, error: str | None = None, unsound: bool = False) -> None:
        self.stage = "ended"
        if self._following.source.name:
            self._out.send(self._following.source.name, Bye(self._following.node))
        self._out.add(Ended(error, unsound))
