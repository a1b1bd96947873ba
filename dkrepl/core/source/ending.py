"""How a source ends once its device is gone: last flush, last acks, goodbye, and the verdict on its store on record.

running -> flushing       the last flush is in the stream, and the store is being flushed
        -> confirming     until every member has it durable, or it takes too long
        -> leaving        until no commit of the activity log, and no discard, is on its way; then goodbye
        -> recording      until a failed flush is on record (R15)
        -> ended

No commit and no discard begins while it leaves, so each of these waits is for one call of a thread. If the disk does
not answer it, the daemon ends with an error and without a goodbye, as if it had been killed: what is active stays
active, no target counts as having everything, and no other role begins while the thread may still write (R1, R6, R15).
The process waits for that thread, until the service manager's watchdog or stop timeout ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal

from dkrepl.config.limits import Limits
from dkrepl.core.actions import Ended, FlushStore, PublishFlush, SourceAction
from dkrepl.core.intent.activity_log import ActivityLog
from dkrepl.core.outbox import Outbox
from dkrepl.core.protocol.messages import Bye
from dkrepl.core.source.record import SourceRecord
from dkrepl.core.source.store_verdict import StoreVerdict
from dkrepl.core.source.stream import Stream

Stage = Literal["running", "flushing", "confirming", "leaving", "recording", "ended"]


class Ending:
    """Ends a source, stage by stage; ``Ended`` follows ``begin`` if ``go_on`` is called now and then.

    ``clean(now)`` begins the last commit of the activity log; ``positions()`` tells the members how far others are.
    """

    def __init__(
        self,
        *,
        node: str,
        peers: Collection[str],
        stream: Stream,
        record: SourceRecord,
        activity_log: ActivityLog,
        store_verdict: StoreVerdict,
        clean: Callable[[float], None],
        positions: Callable[[], None],
        out: Outbox[SourceAction],
        limits: Limits,
    ) -> None:
        self.stage: Stage = "running"
        self.drained: dict[str, int] = {}
        """The targets that had everything at the end, and their epochs."""
        self.unrecorded = ""
        """Why a flush of the store failed, if the next role has to record that."""
        self._node = node
        self._peers = peers
        self._stream = stream
        self._record = record
        self._activity_log = activity_log
        self._verdict = store_verdict
        self._clean = clean
        self._positions = positions
        self._out = out
        self._limits = limits
        self._changes_role = False
        self._flush = 0  # the seq of the last flush
        self._deadline = 0.0  # of the present stage
        self._disk_deadline = 0.0  # of what a thread does meanwhile
        self._commit = 0  # the newest commit when recording began

    @property
    def leaving(self) -> bool:
        """Whether nothing new is recorded any more, apart from what the ending itself needs."""
        return self.stage in ("leaving", "recording", "ended")

    @property
    def said_goodbye(self) -> bool:
        """Whether no target may join any more: the epoch of the next source must stay the one that is recorded."""
        return self.stage in ("recording", "ended")

    def begin(self, now: float, *, changes_role: bool) -> None:
        """Nothing is written any more: begin. ``changes_role``: another role follows in this process."""
        self._changes_role = changes_role
        self._flush = self._stream.control_record()
        self._out.add(PublishFlush(self._flush))
        self._out.add(FlushStore(self._flush))
        self._deadline = now + self._limits.last_acks_seconds
        self.stage = "flushing"

    def flush_ended(self) -> None:
        """The flush of the store has ended, well or not."""
        self.stage = "confirming"

    def go_on(self, now: float) -> None:
        """Go on as far as possible."""
        if self.stage == "confirming":
            all_durable = all(member.durable >= self._flush for member in self._stream.members)
            if all_durable or now > self._deadline:
                self.stage = "leaving"
                self._disk_deadline = now + self._limits.last_commit_seconds
        if self.stage == "leaving" and not self._activity_log.committing and self._stream.under_way is None:
            self._say_goodbye(now)
        elif self.stage == "recording" and self._record.ended(self._commit):
            self._see_verdict(now)
        elif self.stage in ("leaving", "recording") and now > self._disk_deadline:
            seconds = self._limits.last_commit_seconds
            self._end(
                f"a commit or a discard has not ended for {seconds:g} s; check the disks of the store and the state"
            )

    def _say_goodbye(self, now: float) -> None:
        self._clean(now)
        seq = self._stream.log.seq
        self.drained = {
            member.name: member.epoch
            for member in self._stream.members
            if member.in_sync_at is not None and member.durable == seq
        }
        self.stage = "recording"
        self._positions()  # so that those that have everything mark nothing for each other
        for peer in self._peers:
            self._out.send(peer, Bye(self._node))
        self._deadline = now + self._limits.last_record_seconds
        self._disk_deadline = now + self._limits.last_commit_seconds
        self._record_verdict()

    def _record_verdict(self) -> None:
        self._verdict.record_again()
        self._commit = self._record.newest

    def _see_verdict(self, now: float) -> None:
        """End once a flush that failed is on record: what follows, in another role too, must know of it (R15)."""
        if not self._verdict.unrecorded:
            self._end(None)
        elif now < self._deadline:
            self._record_verdict()
        elif self._changes_role:
            self.unrecorded = self._record.metadata.store_failed  # recorded with the new role, or that is not taken
            self._end(None)
        else:
            self._end(self._record.error or "a failed flush of the store is not on record")

    def _end(self, error: str | None) -> None:
        self.stage = "ended"
        self._out.add(Ended(error))
