"""What a target does with the messages of the source that it follows."""

from __future__ import annotations

from typing import Literal, assert_never

import msgspec

from dkrepl.config.limits import Limits
from dkrepl.core.actions import TargetAction
from dkrepl.core.intent.peer_bitmaps import PeerBitmaps
from dkrepl.core.lineage import peer_records
from dkrepl.core.outbox import Outbox
from dkrepl.core.protocol.messages import Alive, Bye, Evict, Positions, Stalled
from dkrepl.core.target.following import Following
from dkrepl.core.target.last_heard import LastHeard
from dkrepl.core.target.record import TargetRecord
from dkrepl.core.target.stream import TargetStream

SourceMessage = Evict | Alive | Stalled | Positions | Bye


class SourceMessages:
    """Takes what a source says of the stream, of itself and of the other targets; a stranger's word is not for it."""

    def __init__(
        self,
        *,
        following: Following,
        record: TargetRecord,
        stream: TargetStream,
        peer_bitmaps: PeerBitmaps,
        last_heard: LastHeard,
        out: Outbox[TargetAction],
        limits: Limits,
    ) -> None:
        self._following = following
        self._record = record
        self._stream = stream
        self._peer_bitmaps = peer_bitmaps
        self._last_heard = last_heard
        self._out = out
        self._limits = limits

    def take(self, source: str, message: SourceMessage, now: float) -> None:
        """Take a message of ``source``, which this node follows, or which refused it."""
        following = self._following
        match message:
            case Evict():
                following.source.heard = now
                self._on_evict(message, now)
            case Alive():
                self._on_alive(message, now)
            case Stalled():
                self._note_stall(message.seconds, now)
                if not following.source.stall.too_long(now):
                    following.source.heard = now  # it lives; past the limit it counts as silent (R13)
            case Positions():
                self._on_positions(message)
            case Bye():
                following.leave("source lost", f"{source} was stopped", now, self._limits.hello_first_seconds)
            case _:
                assert_never(message)

    def _on_evict(self, message: Evict, now: float) -> None:
        following = self._following
        if message.epoch == following.epoch or message.code in ("Paused", "NotJoined"):
            event: Literal["paused", "evicted"] = "paused" if message.code == "Paused" else "evicted"
            following.leave(event, message.text, now, message.retry)
        elif message.code == "Resync" and following.state == "Behind":
            following.hello.due_at(now + message.retry)  # the administrator need not wait for the end of a pause
        elif message.epoch == following.gave_up and following.state == "Behind":
            # The answer to our Trouble: the pause grows while entering again does not help.
            following.hello.postpone(now + message.retry)

    def _on_alive(self, message: Alive, now: float) -> None:
        following, metadata = self._following, self._record.metadata
        if following.in_stream and message.session != following.session:
            following.leave("source lost", "the source was restarted", now, 0.0)
            return
        following.source.heard = now
        self._note_stall(message.stalled, now)
        in_sync = following.state == "InSync"
        self._last_heard.heard(message, following.applied, in_sync, metadata.store_state != "Inconsistent")
        if in_sync and metadata.former and not message.former and not self._record.waiting:
            # Enough nodes of the old description know the new one: the source has it on record (R14).
            self._record.commit("former", msgspec.structs.replace(metadata, former=()))
        following.source.resync = message if message.epoch == following.epoch and message.total_bytes else None

    def _note_stall(self, seconds: float, now: float) -> None:
        source = self._following.source
        if (event := source.stall.note(seconds, now)) is not None:
            level = "warning" if event == "store_stalled" else "info"
            self._out.report(event, level, node=source.name, seconds=round(seconds, 1) or None)

    def _on_positions(self, message: Positions) -> None:
        """Note how far the other targets are: what they have durable need not be marked for them any more."""
        following, metadata = self._following, self._record.metadata
        if message.epoch != following.epoch or following.state != "InSync" or self._record.waiting:
            return
        if self._stream.applying:
            return  # it would unmark blocks that are being changed; the source repeats it (R8)
        if message.generation != metadata.generation:
            return  # of before or after the newest generation: it cannot be told who was in sync when that began
        durable = {name: seq for name, (_, seq, _) in message.durable.items()}
        for name in self._peer_bitmaps.update(durable, following.applied):
            record, (epoch, _, sync) = peer_records.record_of(metadata, name), message.durable[name]
            if not record.tracked or record.epoch != epoch or metadata.generation not in record.base:
                metadata = peer_records.in_sync(metadata, name, metadata.generation, sync, epoch=epoch, loose=True)
        if metadata is not self._record.metadata:
            self._record.commit("tracked", metadata)
