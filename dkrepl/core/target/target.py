"""A target of a mirror: takes events and gives actions (sans-I/O). Its states are in core/states.py.

Each question has a part of its own: what it follows (``Following``), how it comes to (``Joining``), what it takes from
the stream (``TargetStream``), when it flushes and acknowledges (``Progress``), how it votes (``Voter``), what is on
record (``TargetRecord``), how it ends (``Ending``). Here events are handed to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, assert_never

import msgspec

from dkrepl.config.description import Description
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.config.terms import advisory, digest, required
from dkrepl.core.actions import TargetAction
from dkrepl.core.election.vote import newest
from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.intent.peer_bitmaps import PeerBitmaps
from dkrepl.core.lineage import peer_records
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.local_store import LocalStore
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import (
    Alive,
    Answer,
    AnyMessage,
    Ask,
    Bye,
    Copy,
    Evict,
    Handover,
    Positions,
    Refuse,
    Stalled,
    Welcome,
)
from dkrepl.core.states import TargetState
from dkrepl.core.target.applier import Applier
from dkrepl.core.target.ending import Ending
from dkrepl.core.target.following import Following
from dkrepl.core.target.hello import hello_of
from dkrepl.core.target.joining import Joining
from dkrepl.core.target.last_heard import LastHeard
from dkrepl.core.target.own_copy import own_copy
from dkrepl.core.target.progress import Progress
from dkrepl.core.target.record import ABOUT_VOTES, TargetRecord
from dkrepl.core.target.source_view import SourceView
from dkrepl.core.target.stream import TargetStream
from dkrepl.core.target.voter import Voter


class Target:
    """``now`` is a monotonic clock, in seconds, and begins at ``began``; ``bitmaps`` are those for the other nodes."""

    def __init__(
        self,
        description: Description,
        node: str,
        metadata: NodeMetadata,
        bitmaps: Mapping[str, IntentBitmap],
        software: str,
        began: float = 0.0,
        *,
        store: LocalStore,
        limits: Limits = DEFAULT,
    ) -> None:
        self.description = description
        self.node = node
        self.limits = limits
        self.actions: list[TargetAction] = []
        self.peer_bitmaps = PeerBitmaps(bitmaps, description.block.bit_length() - 1, limits=limits)
        self.last_heard = LastHeard(limits=limits)
        self._stalled = 0.0  # seconds for which the own store had been stalled at the newest tick
        self.inherits: str | None = None  # the former source that says that this node is to be source now
        self._software = software
        self._began = began
        self._beat_at = 0.0
        self._peers = [peer.name for peer in description.peers(node)]
        self._terms = required(description)
        self._advisory = digest(advisory(description))
        self.record = TargetRecord(metadata, self.actions, limits.ask_again_seconds)
        self._progress = Progress(description, description.node(node), self.actions, limits)
        self.following = Following(description, node, self._progress, self.peer_bitmaps, self.actions, limits)
        asked = limits.ask_again_seconds
        self._voter = Voter(node, description.name, self._peers, self.record, self.following.send, began, asked)
        self.joining = Joining(
            description,
            self._terms,
            self.following,
            self.record,
            self._voter,
            self._progress,
            self.peer_bitmaps,
            limits,
        )
        applier = Applier(store, self.peer_bitmaps, self.actions)
        self.stream = TargetStream(
            self.following, self.record, self._progress, self.peer_bitmaps, self.last_heard, applier, limits
        )
        self._to_stop = False  # once the message that is being applied is done
        self._ending = Ending(self.following, self.record, self._progress)

    # --- what it is ------------------------------------------------------------------------------------

    @property
    def state(self) -> TargetState:
        """Its state, as it sees itself."""
        return self.following.state

    @property
    def reason(self) -> str | None:
        """Why it is not InSync, None if there is nothing to say."""
        return self.following.reason

    @property
    def metadata(self) -> NodeMetadata:
        """The newest record; it may be on its way to stable storage."""
        return self.record.metadata

    @property
    def source(self) -> str | None:
        """The name of the source that it follows, or that refused it."""
        return self.following.source.name

    @property
    def source_view(self) -> SourceView:
        """What it knows of that source."""
        return self.following.source

    @property
    def joined(self) -> bool:
        """Whether it is in the stream of a source."""
        return self.following.position is not None

    @property
    def session(self) -> int:
        """The session of its entry into a stream, 0 without one."""
        entry = self.following.entry
        return entry.session if entry is not None else 0

    @property
    def epoch(self) -> int:
        """The number of its entry into a stream, 0 without one."""
        return self.following.epoch

    @property
    def applied(self) -> int:
        """The seq of the newest live write applied, in the stream that it is in or was in last."""
        return self.following.applied

    @property
    def resync_applied(self) -> int:
        """The number of the newest message of the present resync that is applied."""
        position = self.following.position
        return position.resync_applied if position is not None else 0

    @property
    def durable_seq(self) -> int:
        """The newest seq that is on stable storage here."""
        return self._progress.durable_seq

    @property
    def blocked(self) -> bool:
        """Whether no stream message may be taken: a flush, a record, a discard or a checksum has to come first."""
        return self.stream.blocked

    @property
    def ending(self) -> bool:
        """Whether ``stop`` was called."""
        return self._ending.stage != "running"

    def copy(self, now: float) -> Copy:
        """Return what this node says of its copy to a peer that asks."""
        mode = self.description.node(self.node).mode
        return own_copy(mode, self.metadata, self.following, self.last_heard, now)

    def offer(self, now: float) -> NodeMetadata:
        """Return the record as a peer may be told it: a handover that was not taken up soon is void (R7)."""
        metadata = self.metadata
        follows = self.source is not None and self.state != "Refused"
        if metadata.next_source and (follows or now - self._began > self.limits.handover_seconds):
            metadata = msgspec.structs.replace(metadata, next_source="", next_source_epoch=0)
        return metadata

    # --- votes (R11) -----------------------------------------------------------------------------------

    def on_ask(self, ask: Ask, now: float) -> str:
        """Take a question of a peer; return the node that this one votes for, once that is recorded."""
        ballot = Ballot(ask.ballot, ask.node)
        if ask.vote == "withdrawn":
            self._voter.withdrawn(ballot, self.ending)
        elif ask.vote == "wanted" and self._may_vote(ballot, now):
            if self.source is not None:
                self.following.leave("source lost", f"{ask.node} is to be source", now, 0.0)
            self._voter.vote(ballot, now)
        return self._voter.votes_for(now)

    def _may_vote(self, ballot: Ballot, now: float) -> bool:
        free = self.inherits is None and not self.ending and not self.following.source.hears(now)
        return free and self._voter.may_vote(ballot, now)

    def on_answer(self, answer: Answer, now: float) -> None:
        """Take an answer of the node that this one voted for."""
        if not self.joined:
            self._voter.on_answer(answer, now)

    def vote(self, now: float) -> str:
        """Return the node that this one votes for."""
        return self._voter.votes_for(now)

    @property
    def stands(self) -> Ballot | None:
        """The ballot under which this node is a candidate, once that is recorded."""
        return self._voter.candidacy

    def stand(self, now: float, force: bool = False) -> None:
        """This node is being promoted: from now on it votes for itself, and follows nobody.

        Does nothing while it has a source; nor while it votes for another node, unless ``force`` is given. It may ask
        for votes once its ballot is recorded: then ``stands`` names it.
        """
        if self.source is None:
            self._voter.stand(now, force)

    def outbid(self, now: float, seen: Iterable[Ballot]) -> None:
        """Go on as a candidate, under a ballot that is newer than those ``seen``."""
        self._voter.outbid(now, seen)

    def stand_down(self) -> None:
        """The promotion was refused: withdraw the vote for itself."""
        self._voter.stand_down()

    # --- the stream ------------------------------------------------------------------------------------

    def take(self, message: frames.StreamMessage, now: float) -> None:
        """Take a checked stream message: apply it, ignore it, or leave the stream (R3).

        To be called only while ``blocked`` is false.
        """
        self.stream.take(message, now)
        self.acknowledge(now)

    def zeroed(self, why: str | None, now: float) -> None:
        """The range that ``ZeroRange`` names reads as zeroes; or not, and why."""
        self.stream.zeroed(why, now)
        self.acknowledge(now)
        if self._to_stop and not self.stream.applying:
            self.stop()

    def bad_frame(self, why: str, now: float) -> None:
        """A frame failed its checks: nothing of it was applied, and the stream has a gap from here on (R9)."""
        self.stream.broken(why, now)

    def stream_lost(self, now: float) -> None:
        """The connection of the stream was lost: a source that is restarted waits for its sync targets to come back."""
        self.stream.broken("the connection of the stream was lost", now, at_once=True)

    def acknowledge(self, now: float) -> None:
        """Tell the source what is applied and what is durable, if it is time."""
        following = self.following
        entry, source = following.entry, following.source.name
        if entry is not None and source and not self.record.waiting and not self.stream.clearing:
            self._progress.acknowledge(source, entry, now)

    @property
    def goes_on(self) -> bool:
        """Whether ``step`` has more to do at once (R13)."""
        return self.joining.sending or self.stream.clearing

    def step(self, now: float) -> None:
        """Do what every round of the loop does: acks, a flush that is due, and what takes several rounds."""
        if self.joined and not self.ending:
            self.acknowledge(now)
            if self._progress.flush_due(now) and not self.stream.blocked:
                self._progress.flush()
        if self.goes_on and not self.ending:
            self.joining.go_on()
            self.stream.go_on()

    def store_flushed(self, number: int, now: float) -> None:
        """A flush of the store has ended well. Raises ``LocalProtocolError`` if none of that number is on its way."""
        self._progress.flushed(number, now)
        self.acknowledge(now)
        self._ending.flush_ended(number, None)

    def store_flush_failed(self, number: int, why: str, now: float) -> None:
        """A flush of the store has failed: writes that were acknowledged as applied may be lost (R15).

        Raises ``LocalProtocolError`` if none of that number is on its way.
        """
        self._progress.flush_failed(number, now)
        if self.ending:
            self._ending.flush_ended(number, why)
        else:
            self.stream.store_failed(why, now)

    # --- messages --------------------------------------------------------------------------------------

    def on_message(self, peer: str, message: AnyMessage, now: float) -> None:
        """Take a control message of ``peer``."""
        if self.ending:
            return
        if peer == self.source and not (
            isinstance(message, Bye) or (isinstance(message, Alive) and message.state == "InSync")
        ):
            self.following.unanswered_break = False  # it lives, and may answer writes without this target
        match message:
            case Welcome():
                self.joining.on_welcome(peer, message, now)
            case Handover():
                self._on_handover(peer, message, now)
            case Refuse():
                self.joining.on_refuse(peer, message, now)
            case Evict() | Alive() | Stalled() | Positions() | Bye() if peer == self.source:
                self._on_message_of_source(peer, message, now)
            case _:
                return

    def _on_message_of_source(self, peer: str, message: Evict | Alive | Stalled | Positions | Bye, now: float) -> None:
        view = self.following.source
        match message:
            case Evict():
                view.heard = now
                self._on_evict(message, now)
            case Alive():
                self._on_alive(message, now)
            case Stalled():
                self._note_stall(message.seconds, now)
                if not view.stall.too_long(now):
                    view.heard = now  # it lives; past the limit it counts as silent (R13)
            case Positions():
                self._on_positions(message)
            case Bye():
                self.following.leave("source lost", f"{peer} was stopped", now, self.limits.hello_first_seconds)
            case _:
                assert_never(message)

    def _on_evict(self, message: Evict, now: float) -> None:
        following = self.following
        if message.epoch == self.epoch or message.code in ("Paused", "NotJoined"):
            event: Literal["paused", "evicted"] = "paused" if message.code == "Paused" else "evicted"
            following.leave(event, message.text, now, message.retry)
        elif message.code == "Resync" and self.state == "Behind":
            following.hello.due_at(now + message.retry)  # the administrator need not wait for the end of a pause
        elif message.epoch == following.gave_up and self.state == "Behind":
            # The answer to our Trouble: the pause grows while entering again does not help.
            following.hello.postpone(now + message.retry)

    def _on_alive(self, message: Alive, now: float) -> None:
        if self.joined and message.session != self.session:
            self.following.leave("source lost", "the source was restarted", now, 0.0)
            return
        view, metadata = self.following.source, self.metadata
        view.heard = now
        self._note_stall(message.stalled, now)
        self.last_heard.heard(message, self.applied, self.state == "InSync", metadata.store_state != "Inconsistent")
        if self.state == "InSync" and metadata.former and not message.former and not self.record.waiting:
            # Enough nodes of the old description know the new one: the source has it on record (R14).
            self.record.commit("former", msgspec.structs.replace(metadata, former=()))
        view.resync = message if message.epoch == self.epoch and message.total_bytes else None

    def _note_stall(self, seconds: float, now: float) -> None:
        if (event := self.following.source.stall.note(seconds, now)) is not None:
            level = "warning" if event == "store_stalled" else "info"
            self.following.report(event, level, node=self.source, seconds=round(seconds, 1) or None)

    def _on_positions(self, message: Positions) -> None:
        """Note how far the other targets are: what they have durable need not be marked for them any more."""
        if message.epoch != self.epoch or self.state != "InSync" or self.record.waiting:
            return
        if self.stream.applying:
            return  # it would unmark blocks that are being changed; the source repeats it (R8)
        if message.generation != self.metadata.generation:
            return  # of before or after the newest generation: it cannot be told who was in sync when that began
        metadata = self.metadata
        durable = {name: seq for name, (_, seq, _) in message.durable.items()}
        for name in self.peer_bitmaps.update(durable, self.applied):
            record, (epoch, _, sync) = peer_records.record_of(metadata, name), message.durable[name]
            if not record.tracked or record.epoch != epoch or metadata.generation not in record.base:
                metadata = peer_records.in_sync(metadata, name, metadata.generation, sync, epoch=epoch, loose=True)
        if metadata is not self.metadata:
            self.record.commit("tracked", metadata)

    def _on_handover(self, peer: str, message: Handover, now: float) -> None:
        """The former source asks this node to be source: only as what it was when it left that source."""
        metadata = self.metadata
        unchanged = metadata.epoch == message.epoch and metadata.generation == message.generation
        bound = bool(metadata.promised)  # R11: the node that it voted for may be source
        if bound and self.state == "Disconnected":
            elected = newest(metadata).node
            self.following.reason = (
                f"{peer} hands over to {self.node}, which has voted for {elected}: that may be source. "
                f"Start {elected}, or promote {self.node} if {elected} is off for good"
            )
        free = self._voter.votes_for(now) in ("", self.node) and not bound and not self.record.waiting
        apart = self.state in ("Disconnected", "Refused")  # refused by another source: one that was elected before
        if unchanged and apart and free and metadata.store_state != "Inconsistent":
            self.inherits = peer
            self._voter.inherit(now)

    # --- time, commits ---------------------------------------------------------------------------------

    def tick(self, now: float, *, stalled: float) -> None:
        """Let time pass: Hellos, heartbeats, the deadline of silence.

        ``stalled``: seconds for which the own store has stood still.
        """
        self._stalled = stalled
        following = self.following
        self._progress.repeat_if_due(now)
        self.acknowledge(now)
        if self.state != "Disconnected" and following.source.silent(now):
            whom = self.source or "a source"
            silence = f"nothing heard from {whom} for {self.description.peer_timeout:g} s"
            following.leave("source lost", silence, now, 0.0)
        self.record.tick(now)
        if not self.joined and not self.ending:
            self._voter.tick(now)
        if self.state in ("Disconnected", "Behind", "Paused", "Refused") and following.hello.due(now):
            self._say_hello(now)
        if now >= self._beat_at:
            self._beat_at = now + self.description.peer_timeout / 5
            if self.source:
                following.send(
                    self.source, Alive(epoch=self.epoch, session=self.session, state=self.state, stalled=self._stalled)
                )

    def _say_hello(self, now: float) -> None:
        if self.record.waiting or self.joining.saving or self.ending:
            return
        vote = self._voter.votes_for(now)
        for peer in self._peers:
            if vote in ("", peer):
                dirty = self.peer_bitmaps.bitmaps[peer].count()
                hello = hello_of(self.metadata, peer, dirty, self._software, self._terms, self._advisory)
                self.following.send(peer, hello)
        self.following.hello.said(now, waiting=self.state in ("Paused", "Refused"))

    def committed(self, number: int, now: float) -> None:
        """A record is durable. Raises ``LocalProtocolError`` if no commit of that number is on its way."""
        done = self.record.committed(number)
        self._progress.reached(done.place)
        if done.purpose in ABOUT_VOTES:
            if not self.ending:
                self._voter.recorded(done.purpose, now)
        elif done.purpose == "joined" and self.state == "Connecting" and not self.ending:
            self.joining.subscribe()
        elif done.purpose == "synced" and self.state == "Resyncing":
            self.following.hello.entered()
            self.following.source.resync = None
            self.following.fire("synced recorded", None)
        self._ending.commit_ended(None)

    def commit_failed(self, number: int, why: str, now: float, store: bool = False) -> None:
        """A record could not be made durable: nothing that depends on it may be applied.

        ``store``: the flush of the store failed that had to come before it. Raises ``LocalProtocolError`` if no commit
        of that number is on its way.
        """
        purpose = self.record.failed(number, why, now)
        if self._ending.stage == "recording":
            self._ending.commit_ended(why)
            return
        if purpose in ABOUT_VOTES:
            self._voter.not_recorded()  # its copy is as good as before
        else:
            self.following.trouble("MetadataError", why, now)
        if store:
            self.stream.store_failed(why, now)
        self._ending.commit_ended(None)

    # --- the end ---------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End cleanly: nothing more is applied, so its copy and its bitmaps stay (R6). ``Ended`` follows."""
        if self.ending:
            return
        self._to_stop = self.stream.applying
        if self._to_stop:
            return  # a message is applied as a whole
        if (position := self.following.position) is not None:
            position.synced = None
        self.peer_bitmaps.stop_filling()
        self.peer_bitmaps.end()
        self.following.unsubscribe()
        self._ending.begin()

    def settled(self, why: str | None, store: bool = False) -> None:
        """Store and bitmaps are durable, and recorded so; or not, and why; ``store``: the store's flush failed."""
        self._ending.settled(why, store)
