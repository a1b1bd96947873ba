"""A target of a mirror: takes events and gives actions (sans-I/O). Its states are in core/states.py.

Each question has a part of its own: what it follows (``Following``), how it comes to (``Joining``), what it takes from
the stream (``TargetStream``), what its source says besides (``SourceMessages``), when it flushes and acknowledges
(``Progress``), how it votes (``Voter``), what is on record (``TargetRecord``), how it ends (``Ending``). An event that
concerns one of them alone is given to that part itself; here is what concerns several.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dkrepl.config.description import Description
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.config.terms import advisory, digest, required
from dkrepl.core.actions import TargetAction
from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.intent.peer_bitmaps import PeerBitmaps
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.local_store import LocalStore
from dkrepl.core.outbox import Outbox
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.messages import (
    Alive,
    AnyMessage,
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
from dkrepl.core.target.source_messages import SourceMessages
from dkrepl.core.target.stream import TargetStream
from dkrepl.core.target.voter import Voter


class Target:
    """A node that follows a source, or looks for one: every part of it, and what happens between them.

    ``now`` is a monotonic clock, in seconds, and begins at ``began``; ``bitmaps`` are those for the other nodes;
    ``actions``: what is to be done, in this order.
    """

    def __init__(
        self,
        description: Description,
        node: str,
        metadata: NodeMetadata,
        *,
        bitmaps: Mapping[str, IntentBitmap],
        software: str,
        store: LocalStore,
        began: float = 0.0,
        limits: Limits = DEFAULT,
    ) -> None:
        self.description = description
        self.node = node
        self.limits = limits
        self._software = software
        self._began = began
        self._beat_at = 0.0
        self._to_stop = False  # once the message that is being applied is done
        self._peers = [peer.name for peer in description.peers(node)]
        self._terms = required(description)
        self._advisory = digest(advisory(description))
        self._out: Outbox[TargetAction] = Outbox()
        self.actions = self._out.actions
        self.peer_bitmaps = PeerBitmaps(bitmaps, description.block.bit_length() - 1, limits=limits)
        self.last_heard = LastHeard(limits=limits)
        self.record = TargetRecord(metadata, self._out, limits.ask_again_seconds)
        self.progress = Progress(description=description, node=description.node(node), out=self._out, limits=limits)
        self.following = Following(
            description=description,
            node=node,
            progress=self.progress,
            out=self._out,
            limits=limits,
        )
        self.ending = Ending(following=self.following, record=self.record, progress=self.progress, out=self._out)
        self.voter = Voter(
            node=node,
            mirror=description.name,
            peers=self._peers,
            following=self.following,
            record=self.record,
            ending=self.ending,
            out=self._out,
            began=began,
            limits=limits,
        )
        self.joining = Joining(
            description=description,
            terms=self._terms,
            following=self.following,
            record=self.record,
            voter=self.voter,
            progress=self.progress,
            peer_bitmaps=self.peer_bitmaps,
            out=self._out,
            limits=limits,
        )
        self.stream = TargetStream(
            following=self.following,
            record=self.record,
            progress=self.progress,
            peer_bitmaps=self.peer_bitmaps,
            last_heard=self.last_heard,
            applier=Applier(store, self.peer_bitmaps, self._out),
            out=self._out,
            limits=limits,
        )
        self._source_messages = SourceMessages(
            following=self.following,
            record=self.record,
            stream=self.stream,
            peer_bitmaps=self.peer_bitmaps,
            last_heard=self.last_heard,
            out=self._out,
            limits=limits,
        )

    # --- what it is ------------------------------------------------------------------------------------

    @property
    def state(self) -> TargetState:
        """Its state, as it sees itself."""
        return self.following.state

    @property
    def source(self) -> str | None:
        """The name of the source that it follows, or that refused it."""
        return self.following.source.name

    @property
    def metadata(self) -> NodeMetadata:
        """The newest record; it may be on its way to stable storage."""
        return self.record.metadata

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

    # --- the stream ------------------------------------------------------------------------------------

    def take(self, message: frames.StreamMessage, now: float) -> None:
        """Take a checked stream message: apply it, ignore it, or leave the stream (R3).

        To be called only while ``stream.blocked`` is false.
        """
        self.stream.take(message, now)
        self._acknowledge(now)

    def zeroed(self, why: str | None, now: float) -> None:
        """The range that ``ZeroRange`` names reads as zeroes; or not, and why."""
        self.stream.zeroed(why, now)
        self._acknowledge(now)
        if self._to_stop and not self.stream.applying:
            self.stop()

    def _acknowledge(self, now: float) -> None:
        """Tell the source what is applied and what is durable, if it is time."""
        following = self.following
        entry, source = following.entry, following.source.name
        if entry is not None and source and not self.record.waiting and not self.stream.clearing:
            self.progress.acknowledge(source, entry, now)

    @property
    def goes_on(self) -> bool:
        """Whether ``step`` has more to do at once (R13)."""
        return self.joining.sending or self.stream.clearing

    def step(self, now: float) -> None:
        """Do what every round of the loop does: acks, a flush that is due, and what takes several rounds."""
        if self.following.in_stream and not self.ending.begun:
            self._acknowledge(now)
            if self.progress.flush_due(now) and not self.stream.blocked:
                self.progress.flush()
        if self.goes_on and not self.ending.begun:
            self.joining.go_on()
            self.stream.go_on()

    def store_flushed(self, number: int, now: float) -> None:
        """A flush of the store has ended well. Raises ``LocalProtocolError`` if none of that number is on its way."""
        self.progress.flushed(number, now)
        self._acknowledge(now)
        self.ending.flush_ended(number, None)

    def store_flush_failed(self, number: int, why: str, now: float) -> None:
        """A flush of the store has failed: writes that were acknowledged as applied may be lost (R15).

        Raises ``LocalProtocolError`` if none of that number is on its way.
        """
        self.progress.flush_failed(number, now)
        if self.ending.begun:
            self.ending.flush_ended(number, why)
        else:
            self.stream.store_failed(why, now)

    # --- messages --------------------------------------------------------------------------------------

    def on_message(self, peer: str, message: AnyMessage, now: float) -> None:
        """Take a control message of ``peer``."""
        if self.ending.begun:
            return
        if peer == self.source and not (
            isinstance(message, Bye) or (isinstance(message, Alive) and message.state == "InSync")
        ):
            self.following.unanswered_break = False  # it lives, and may acknowledge writes without this target
        match message:
            case Welcome():
                self.joining.on_welcome(peer, message, now)
            case Handover():
                self.voter.on_handover(peer, message, now)
            case Refuse():
                self.joining.on_refuse(peer, message, now)
            case Evict() | Alive() | Stalled() | Positions() | Bye() if peer == self.source:
                self._source_messages.take(peer, message, now)
            case _:
                return

    # --- time, commits ---------------------------------------------------------------------------------

    def tick(self, now: float, *, stalled: float) -> None:
        """Let time pass: Hellos, heartbeats, the deadline of silence.

        ``stalled``: seconds for which the own store has stood still.
        """
        following = self.following
        self.progress.repeat_if_due(now)
        self._acknowledge(now)
        if self.state != "Disconnected" and following.source.silent(now):
            whom = self.source or "a source"
            silence = f"nothing heard from {whom} for {self.description.peer_timeout:g} s"
            following.leave("source lost", silence, now, 0.0)
        self.record.tick(now)
        if not following.in_stream and not self.ending.begun:
            self.voter.tick(now)
        if self.state in ("Disconnected", "Behind", "Paused", "Refused") and following.hello.due(now):
            self._say_hello(now)
        if now >= self._beat_at:
            self._beat_at = now + self.description.peer_timeout / 5
            if self.source:
                alive = Alive(epoch=following.epoch, session=following.session, state=self.state, stalled=stalled)
                self._out.send(self.source, alive)

    def _say_hello(self, now: float) -> None:
        if self.record.waiting or self.joining.saving or self.ending.begun:
            return
        vote = self.voter.votes_for(now)
        for peer in self._peers:
            if vote in ("", peer):
                dirty = self.peer_bitmaps.bitmaps[peer].count()
                hello = hello_of(self.metadata, peer, dirty, self._software, self._terms, self._advisory)
                self._out.send(peer, hello)
        self.following.hello.said(now, waiting=self.state in ("Paused", "Refused"))

    def committed(self, number: int, now: float) -> None:
        """A record is durable. Raises ``LocalProtocolError`` if no commit of that number is on its way."""
        done = self.record.committed(number)
        self.progress.reached(done.place)
        if done.purpose in ABOUT_VOTES:
            if not self.ending.begun:
                self.voter.recorded(done.purpose, now)
        elif done.purpose == "joined" and self.state == "Connecting" and not self.ending.begun:
            self.joining.subscribe()
        elif done.purpose == "synced" and self.state == "Resyncing":
            self.following.hello.entered()
            self.following.source.resync = None
            self.following.fire("synced recorded", None)
        self.ending.commit_ended(None)

    def commit_failed(self, number: int, why: str, now: float, store: bool = False) -> None:
        """A record could not be made durable: nothing that depends on it may be applied.

        ``store``: the flush of the store failed that had to come before it. Raises ``LocalProtocolError`` if no commit
        of that number is on its way.
        """
        purpose = self.record.failed(number, why, now)
        if self.ending.stage == "recording":
            self.ending.commit_ended(why)
            return
        if store:
            self.stream.store_failed(why, now)  # under this name the source hears of it: the copy counts no more (R4)
        elif purpose not in ABOUT_VOTES:  # with one of those its copy is as good as before
            self.following.trouble("MetadataError", why, now)
        self.ending.commit_ended(None)

    # --- the end ---------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End cleanly: nothing more is applied, so its copy and its bitmaps stay (R6). ``Ended`` follows."""
        if self.ending.begun:
            return
        self._to_stop = self.stream.applying
        if self._to_stop:
            return  # a message is applied as a whole
        if (position := self.following.position) is not None:
            position.synced = None
        self.following.unsubscribe()
        self.ending.begin()
