"""A target of a mirror: a state machine that takes events and gives actions (sans-I/O).

    Disconnected  no source answers: says Hello to every peer, with a capped back-off
    Connecting    Welcome seen: records the epoch, subscribes, answers the probe, waits for START
    Resyncing     in the stream; resync blocks arrive between live writes
    InSync        in the stream; SYNCED seen, recorded and confirmed
    Behind        the source put it out of the stream; says Hello again after the pause that it was told
    Paused, Refused   the source said so, with a reason; asks again now and then

Rules kept here: R3, for only what follows the last applied write without a gap is applied; R6, for the copy is
recorded as Inconsistent before the first resync block is applied and as Consistent only after SYNCED; R9, for what
is malformed, out of order or of an old session is never applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from dkrepl.config.description import Description
from dkrepl.config.terms import advisory, digest, disagreement, required
from dkrepl.core.actions import Action, Commit, Connect, Disconnect, Event, SaveDiverged, Send
from dkrepl.core.election.vote import MOST, Vote, following, never_elected, newest, next_number, promised, released
from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.intent.peer_bitmaps import PeerBitmaps
from dkrepl.core.lineage import peer_records
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol import frames, members
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import (
    BITMAP_PART_BYTES,
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    Alive,
    Answer,
    AnyMessage,
    Ask,
    BitmapPart,
    Bye,
    Copy,
    Evict,
    Handover,
    Message,
    Positions,
    Ready,
    Refuse,
    Stalled,
    Trouble,
    Welcome,
)
from dkrepl.core.stall import Stall
from dkrepl.core.states import SEEN_BY_TARGET, TargetState, check_transition
from dkrepl.core.target.join import hello_of
from dkrepl.core.target.last_heard import LastHeard

Verdict = Literal["apply", "ignore", "barrier"]
_HELLO_FIRST, _HELLO_LAST = 0.1, 2.0  # seconds between Hellos
_HELLO_SOON, _SOON = 0.2, 3.0  # at most so long between two while the source may be restarting, which takes seconds
_PARTS_A_ROUND = 16  # of a bitmap that are sent in one round of the loop
_ASK_AGAIN = 2.0  # seconds between Hellos while paused or refused


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
    ) -> None:
        self.description = description
        self.peer_bitmaps = PeerBitmaps(bitmaps, description.block.bit_length() - 1)
        self.refusal = ""  # why a source refused it last: a code
        self.inherits: str | None = None  # the former source that says that this node is to be source now
        self._source_epoch = 0
        self._keeping = False
        self._dirty_blocks_sent = 0
        self._parts: Iterator[tuple[int, bytes]] | None = None  # of the bitmap for the source, still to be sent
        self._synced: str | None = None  # the generation of the mark that ended the resync, while bits are cleared
        self.node = node
        self.metadata = metadata
        self._recorded = metadata  # the newest record known to be durable
        self.state: TargetState = "Disconnected"
        self.reason: str | None = "no source has answered yet"
        self.source: str | None = None
        self.session = 0
        self.epoch = 0
        self._gave_up = 0  # the epoch that the last Trouble was about
        self.applied = 0  # seq of the newest live write applied
        self.resync_applied = 0
        self.actions: list[Action] = []
        self.in_sync_when_lost = False  # whether it was InSync until the source fell silent
        self._unanswered_break = False  # the stream broke while InSync, and the source is silent since
        self.progress: Alive | None = None  # what the source last said of the resync
        self.last_heard = LastHeard()
        self.commit_error: str | None = None
        self._software = software
        self._vote = Vote(metadata.promised[0].node if metadata.promised else "", began)
        self._voting = Ballot()  # under which a vote is being recorded
        self.stands: Ballot | None = None  # the ballot under which this node is a candidate, once that is recorded
        self._asked, self._ask_at = 0, 0.0  # questions to the node that it voted for, and when the next is due
        self.terms = required(description)
        self.advisory = digest(advisory(description))
        self.advisory_differs = False
        self._peers = [peer.name for peer in description.peers(node)]
        self._timeout = description.peer_timeout
        self.stalled = 0.0  # seconds for which the own store has stood still, as the caller keeps it
        self.source_stall = Stall(description.store_timeout)
        self._heard = 0.0
        self._beat_at = 0.0
        self._hello_at = 0.0
        self._left_at = -_SOON  # when it left a stream
        self._owed_at: float | None = None  # when to try again to record that this copy is Inconsistent
        self._hello_wait = _HELLO_FIRST
        self._commits = 0
        self._waiting: dict[int, tuple[str, NodeMetadata]] = {}  # commits on their way, and what follows them
        self._subscribed = False
        self._started = False
        self._after: tuple[int, int] = (0, 0)
        self._ended = False

    def end(self) -> None:
        """This node stops, or is to be source: it enters no stream any more, so its copy and its bitmaps stay (R6)."""
        self._ended = True
        self._stop_going_on()
        self.peer_bitmaps.end()

    @property
    def joined(self) -> bool:
        """Whether it is in the stream of a source."""
        return self._started

    def copy(self, now: float) -> Copy:
        """Return what this node says of its copy to a peer that asks."""
        heard, metadata = self.last_heard, self.metadata
        heard.advance(self.applied)
        return Copy(
            self.description.node(self.node).mode,
            self.state,
            metadata.store_state,
            metadata.follows,
            self._hears(now),
            self.in_sync_when_lost or self.state == "InSync" or self._unanswered_break,
            heard.as_of or None,
            heard.at or None,
            heard.session,
            self.applied if heard.session else 0,
            heard.applied_bytes,
            heard.head_bytes,
            heard.missing_bytes,
            metadata.joined_as,
            metadata.power_lost,
        )

    def _hears(self, now: float) -> str:
        # Half the time after which a peer counts as gone: a source that lives is heard far more often.
        return self.source if self.source and now - self._heard < self._timeout / 2 else ""

    # --- votes (R11) ---------------------------------------------------------------------------------

    def on_ask(self, ask: Ask, now: float) -> str:
        """Take a question of a peer; return the node that this one votes for, once that is recorded."""
        candidate = ask.node
        ballot = Ballot(ask.ballot, candidate)
        if ask.vote == "withdrawn":
            if self._voting == ballot:
                self._voting = Ballot()
            if ballot == newest(self.metadata):
                self._vote.withdraw(candidate)
            if ballot in self.metadata.promised and not self._waiting and not self._ended:
                self._commit_then("vote withdrawn", released(self.metadata, ballot))
        elif ask.vote == "wanted" and self._may_vote(ballot, now):
            if self.source is not None:
                self._leave("Disconnected", f"{candidate} is to be source", now, 0.0)
            record = promised(self.metadata, ballot)
            if record == self.metadata:
                self._vote.give(candidate, now)
            else:
                self._vote.withdraw(candidate)  # until it is recorded under this ballot
                self._voting = ballot
                self._commit_then("voted", record)
        return self._vote.at(now)

    def _may_vote(self, ballot: Ballot, now: float) -> bool:
        free = self._vote.at(now) in ("", ballot.node) and self.inherits is None
        made = self.metadata.promised
        new = made[:1] == (ballot,) or (ballot > newest(self.metadata) and len(made) < MOST)
        return free and new and ballot.node in self._peers and not (self._hears(now) or self._waiting or self._ended)

    def on_answer(self, answer: Answer, now: float) -> None:
        """Take an answer of the node that this one voted for: if it was never elected, the vote no longer binds."""
        ballot = newest(self.metadata)
        if answer.number != self._asked or self._waiting or self._started or self._vote.at(now):
            return
        if ballot in self.metadata.promised and never_elected(answer, ballot):
            self._commit_then("vote withdrawn", released(self.metadata, ballot))

    def _ask_elected(self, now: float) -> None:
        elected = newest(self.metadata).node
        if not self.metadata.promised or elected not in self._peers or self._vote.at(now) or now < self._ask_at:
            return
        if self._started or self._waiting or self._ended:
            return
        self._asked, self._ask_at = self._asked + 1, now + _ASK_AGAIN
        self._send(elected, Ask(self.node, self.description.name, self.metadata.mirror_id, number=self._asked))

    def vote(self, now: float) -> str:
        """Return the node that this one votes for."""
        return self._vote.at(now)

    def stand(self, now: float, force: bool = False) -> None:
        """This node is being promoted: from now on it votes for itself, and follows nobody.

        Does nothing while it has a source; nor while it votes for another node, unless ``force`` is given. It may ask
        for votes once its ballot is recorded: then ``stands`` names it.
        """
        if self.source is None and (force or self._vote.at(now) in ("", self.node)):
            stands = self.stands is not None or any(what == "stood" for what, _ in self._waiting.values())
            goes_on = stands and self._vote.at(now) == self.node  # another promotion of this node is under way
            self._vote.give(self.node, now)
            self._voting = Ballot()
            if not goes_on:
                self._take_ballot((), force)

    def outbid(self, now: float, seen: Iterable[Ballot]) -> None:
        """Go on as a candidate, under a ballot that is newer than those ``seen``."""
        if self._vote.at(now) == self.node:
            self._vote.give(self.node, now)
            self._take_ballot(seen, False)

    def _take_ballot(self, seen: Iterable[Ballot], force: bool) -> None:
        self.stands = None
        number = next_number(self.metadata, seen, force)
        self._commit_then("stood", msgspec.structs.replace(self.metadata, stood=number))

    def stand_down(self) -> None:
        """The promotion was refused: withdraw the vote for itself."""
        self._vote.withdraw(self.node)
        self.stands = None

    # --- the stream ----------------------------------------------------------------------------------

    def admit(self, message: frames.StreamMessage, now: float) -> Verdict:
        """Decide on a checked stream message.

        "apply": its records follow what was applied; the caller applies them and calls ``did_apply``. "ignore": not
        for now. "barrier": recorded first; the caller flushes the store, carries out the actions, and takes no
        further message until ``barrier`` is false.
        """
        if message.session != self.session:
            return "ignore"
        kind = message.kind
        if kind == frames.LIVE:
            if not self._started:
                return "ignore"
            if message.first != self.applied + 1:
                if message.first + len(message.records) <= self.applied + 1:
                    return "ignore"
                self._trouble("Gap", f"writes {self.applied + 1} to {message.first - 1} of the stream are missing", now)
                return "ignore"
            self._heard = now
            return "apply"
        if message.epoch != self.epoch:
            return "ignore"
        self._heard = now
        if kind == frames.RESYNC:
            if not self._started:
                return "ignore"
            if message.first != self.resync_applied + 1 or message.position != self.applied:
                self._trouble("Gap", "a message of the resync is missing or out of order", now)
                return "ignore"
            return "apply"
        return self._mark(message, now)

    def did_apply(self, message: frames.StreamMessage) -> bool:
        """The records of a message are in the store; returns whether a barrier follows (a flush or a generation)."""
        if message.kind == frames.RESYNC:
            self.resync_applied = message.first
            return False
        self.applied += len(message.records)
        self.last_heard.applied_bytes += len(message.data)
        op, length, offset = message.records[-1]
        if op == frames.GENERATION:
            self.last_heard.applied_bytes -= length
            generation = f"{offset:016x}"
            kept = members.parse(message.data[len(message.data) - length :])
            kept.pop(self.node, None)
            if self.source:
                kept[self.source] = True  # the source holds every write that it answers
            newer = peer_records.with_base(self.metadata.with_generation(generation), kept, generation)
            if newer.store_state == "Empty":
                newer = msgspec.structs.replace(newer, store_state="Consistent")
            self._commit_then("generation", newer)
        return op in (frames.FLUSH, frames.GENERATION)

    def bad_frame(self, why: str, now: float) -> None:
        """A frame failed its checks: nothing of it was applied, and the stream has a gap from here on (R9)."""
        if self._started:
            self._trouble("BadFrame", why, now)

    def stream_lost(self, now: float) -> None:
        """The connection of the stream was lost: a source that is restarted waits for its sync targets to come back."""
        if self._started:
            self._trouble("BadFrame", "the connection of the stream was lost", now, _HELLO_FIRST)

    def store_failed(self, why: str, now: float, damaged: bool = True) -> None:
        """The store failed; ``damaged``: a write or a flush, so what it holds since the last confirmation is unknown.

        Such a copy is no state of the source's any more, and must not be promoted, restarts or not (R6, R15).
        """
        self._event("store_failed", "error", reason=why)
        if damaged and self.metadata.store_state == "Consistent":
            self._commit_then("inconsistent", msgspec.structs.replace(self.metadata, store_state="Inconsistent"))
        self._trouble("StoreError", why, now)

    @property
    def barrier(self) -> bool:
        """Whether a record must become durable before the next stream message is taken."""
        return bool(self._waiting) or self._synced is not None

    def _mark(self, message: frames.StreamMessage, now: float) -> Verdict:
        op, _, offset = message.records[0]
        if op == frames.PROBE:
            if self.state == "Connecting" and not self._started and self.source and self._parts is None:
                self._send(self.source, Ready(self.epoch, self._dirty_blocks_sent))
        elif op == frames.START and not self._started:
            self._started = True
            self.applied, self.resync_applied = message.position, 0
            self.last_heard.began(message.session, message.position, offset)
            self._state("Resyncing", None)
            if message.first:
                self.last_heard.is_mixture()
            if message.first and self.metadata.store_state != "Inconsistent":
                # R6: before the first block of a resync can be applied.
                self._commit_then("inconsistent", msgspec.structs.replace(self.metadata, store_state="Inconsistent"))
                return "barrier"
        elif op == frames.SYNCED and self._started:
            if message.first != self.resync_applied + 1 or message.position != self.applied:
                self._trouble("Gap", "a message of the resync is missing or out of order", now)
                return "ignore"
            self.resync_applied = message.first
            self._synced = f"{offset:016x}" if offset else ""
            if self.source in self.peer_bitmaps.bitmaps:
                self.peer_bitmaps.bitmaps[self.source].begin_fill(0)
            self.go_on()
            return "barrier"
        elif op == frames.DIGEST and self._started:
            return "apply"
        return "ignore"

    def _has_all(self, generation: str) -> NodeMetadata:
        """Return the record of a node that lacks nothing of the source's, and has nothing that the source lacks."""
        source, metadata = self.source, self.metadata
        assert source is not None
        if generation and generation != metadata.generation:
            metadata = metadata.with_generation(generation)
        if generation or metadata.store_state == "Inconsistent":
            metadata = msgspec.structs.replace(metadata, store_state="Consistent")
        self.peer_bitmaps.in_sync(self.applied)
        metadata = peer_records.in_sync(
            metadata, source, metadata.generation, True, epoch=self._source_epoch, merged=True, loose=False, saved=False
        )
        return msgspec.structs.replace(metadata, yields="", yields_to="", power_lost=False, store_failed="")

    # --- what takes several rounds (R13) -------------------------------------------------------------

    @property
    def goes_on(self) -> bool:
        """Whether ``go_on`` has more to do."""
        return self._synced is not None or self._parts is not None

    def go_on(self) -> None:
        """Send some more of the marked blocks, or clear some more; to be called in each round."""
        if self._parts is not None and self.source:
            for _ in range(_PARTS_A_ROUND):
                part = next(self._parts, None)
                if part is None:
                    self._parts = None
                    break
                self._send(self.source, BitmapPart(self.epoch, *part))
        if self._synced is not None and self.source:
            bitmap = self.peer_bitmaps.bitmaps.get(self.source)
            if bitmap is not None and bitmap.filling:
                bitmap.fill_step()
            if bitmap is None or not bitmap.filling:
                generation, self._synced = self._synced, None
                self._commit_then("synced", self._has_all(generation))

    def _stop_going_on(self) -> None:
        # Bits cleared so far belong to blocks that are equal at the source, or that its own bitmap names.
        self._synced = self._parts = None
        for bitmap in self.peer_bitmaps.bitmaps.values():
            bitmap.end_fill()

    # --- messages ------------------------------------------------------------------------------------

    def on_message(self, peer: str, message: AnyMessage, now: float) -> None:
        """Take a control message of ``peer``."""
        if peer == self.source and not (
            isinstance(message, Bye) or (isinstance(message, Alive) and message.state == "InSync")
        ):
            self._unanswered_break = False  # it lives, and may answer writes without this target
        if isinstance(message, Welcome):
            self._on_welcome(peer, message, now)
        elif isinstance(message, Handover):
            self._on_handover(peer, message, now)
        elif isinstance(message, Refuse):
            if self.source in (None, peer) and not self._started and message.code != "NotSource":
                self._heard = now
                self.source = peer
                self._hello_at = now + _ASK_AGAIN
                self.refusal = message.code
                if message.code == "SplitBrain" and not peer_records.record_of(self.metadata, peer).split_brain:
                    self._commit_then("split brain", peer_records.remembered(self.metadata, peer, split_brain=True))
                self._state("Paused" if message.code == "Paused" else "Refused", message.text)
        elif peer != self.source:
            return
        elif isinstance(message, Evict):
            self._heard = now
            if message.epoch == self.epoch or message.code in ("Paused", "NotJoined"):
                self._leave("Paused" if message.code == "Paused" else "Behind", message.text, now, message.retry)
            elif message.code == "Resync" and self.state == "Behind":
                self._hello_at = now + message.retry  # the administrator need not wait for the end of a pause
            elif message.epoch == self._gave_up and self.state == "Behind":
                # The answer to our Trouble: the pause grows while entering again does not help.
                self._hello_at = max(self._hello_at, now + message.retry)
        elif isinstance(message, Alive):
            if self._started and message.session != self.session:
                self._leave("Disconnected", "the source was restarted", now, 0.0)
                return
            self._heard = now
            self._note_stall(message.stalled, now)
            consistent = self.metadata.store_state != "Inconsistent"
            self.last_heard.heard(message, self.applied, self.state == "InSync", consistent)
            if self.state == "InSync" and self.metadata.former and not message.former and not self._waiting:
                # Enough nodes of the old description know the new one: the source has it on record (R14).
                self._commit_then("former", msgspec.structs.replace(self.metadata, former=()))
            self.progress = message if message.epoch == self.epoch and message.total_bytes else None
        elif isinstance(message, Stalled):
            self._note_stall(message.seconds, now)
            if not self.source_stall.too_long(now):
                self._heard = now  # it lives; past the limit it counts as silent (R13)
        elif isinstance(message, Positions):
            self._on_positions(message)
        elif isinstance(message, Bye):
            self._leave("Disconnected", f"{peer} was stopped", now, _HELLO_FIRST)

    def _note_stall(self, seconds: float, now: float) -> None:
        if (event := self.source_stall.note(seconds, now)) is not None:
            level = "warning" if event == "store_stalled" else "info"
            self._event(event, level, node=self.source, seconds=round(seconds, 1) or None)

    def _on_welcome(self, peer: str, message: Welcome, now: float) -> None:
        if self._started or (self.state == "Connecting" and peer != self.source and self.source is not None):
            return
        if message.epoch <= self.metadata.epoch or self._waiting or self._keeping or self._ended:
            return
        if self._vote.at(now) not in ("", peer):
            return  # R11: this node has voted for another
        if message.ballot < newest(self.metadata) and self.metadata.yields_to != peer:
            # R11: the node that was elected since relies on its voters. If they went back to the old source, both
            # could answer writes. Nor does that one count as heard: it can answer none without them.
            self._heard, self._hello_at = now, now + _ASK_AGAIN
            self.refusal = "Elected"
            self._send(peer, Trouble(message.epoch, "Elected", self._elected_since(peer)))  # its status says so, too
            self._state("Refused", self._elected_since(peer))
            return
        if not PROTOCOL_MIN <= message.protocol <= PROTOCOL_MAX:
            self._state(
                "Refused", f"{peer} chose protocol {message.protocol}, which this node does not speak; upgrade it"
            )
            return
        known = self.metadata.mirror_id
        if known and known != message.mirror_id:
            self._state("Refused", f"{peer} offers another mirror ({message.mirror_id}); check the description")
            return
        if (text := disagreement(self.terms, message.terms, peer, self.description.name)) is not None:
            self._state("Refused", text)
            return
        if self._must_keep(peer):
            if self.description.on_diverged == "ask" and self.metadata.yields_to != peer:
                self.source, self._heard, self._hello_at = peer, now, now + _ASK_AGAIN
                self.refusal = "Diverged"
                own = self.peer_bitmaps.bitmaps[peer].count() * self.description.block
                text = (
                    f"up to {own} bytes that this node wrote may not be at {peer}; to keep them in a file and follow "
                    f"it: dkrepl resolve --keep {peer} on {self.node}"
                )
                self._state("Refused", text)
                return
            self._keeping = True
            self.source, self._heard = peer, now
            self.actions.append(SaveDiverged(peer))
            self._state("Behind", f"the blocks that only this node has are copied aside before it follows {peer}")
            return
        if self._subscribed and self.source:
            self.actions.append(Disconnect(self.source))
            self._subscribed = False
        if self.source != peer:
            self.source_stall.forget()
        self.source, self.session, self.epoch = peer, message.session, message.epoch
        self._heard = now
        self._started = False
        self._after = (message.group, message.slot)
        self._state("Connecting", None)
        self._source_epoch = message.node_epoch
        # Recorded before anything is applied, so that metadata restored from a backup is found out at the next epoch.
        joined = msgspec.structs.replace(
            self.metadata,
            mirror_id=message.mirror_id,
            epoch=message.epoch,
            follows=peer,
            heir="",
            heir_epoch=0,
            agreed=self.terms,
            former=tuple(message.former),
            joined_as=self.description.node(self.node).mode,
            unsettled=True,
        )
        joined = following(joined, message.ballot)
        self._vote.withdraw(peer)  # it is source now
        self.advisory_differs = message.advisory != self.advisory
        self._commit_then("joined", peer_records.loosened(peer_records.saved_only_for(joined, peer)))

    def _elected_since(self, peer: str) -> str:
        """Return why ``peer``, a source that was elected before another one, is not followed, and what to do."""
        here = self.node
        elected = newest(self.metadata).node
        if elected == peer:
            return (
                f"{here} knows of a newer election of {peer} than {peer} itself; it asks {peer} about that, but if "
                f"{peer} was restored or initialised anew, run dkrepl resolve --keep {peer} on {here}"
            )
        if self.metadata.promised:
            why = f"{here} has voted for {elected} since it last followed {peer}, and {elected} may be source"
            when = f"if {elected} is off for good"
        else:
            elected = self.metadata.follows or elected
            followed = "was elected" if elected == here else f"has followed {elected}, which was elected"
            why = f"{here} {followed} after {peer}"
            when = f"demote {peer}, or, if what {peer} has is to be kept"
        return f"{why}; {when}, run dkrepl resolve --keep {peer} on {here}"

    def _must_keep(self, peer: str) -> bool:
        """Whether ``peer`` would replace answered writes that are here and that it may lack.

        Not so if ``peer`` was synchronous then and in the stream to the end: it has every answered write too.
        """
        marked, record = self.peer_bitmaps.bitmaps.get(peer), peer_records.record_of(self.metadata, peer)
        if marked is None or record.saved or not marked.any():
            return False
        if self.metadata.yields_to == peer:
            return self.metadata.yields == "keep"
        return not peer_records.has_all(record, self.metadata.generation)

    def diverged_saved(self, peer: str, error: str | None, now: float) -> None:
        """The blocks that only this node has are copied aside, or cannot be."""
        self._keeping = False
        if error is None:
            self._commit_then("kept", peer_records.remembered(self.metadata, peer, saved=True))
            self._hello_at = now
        elif not self._started:
            self._hello_at = now + _ASK_AGAIN
            self._state("Refused", error)

    def _send_bitmap(self, source: str) -> None:
        """Report the source which blocks were written here that it may lack (R7, R8): it copies them over."""
        bitmap = self.peer_bitmaps.bitmaps.get(source)
        self._dirty_blocks_sent = 0 if bitmap is None else bitmap.count()
        if bitmap is not None and self._dirty_blocks_sent:
            self._parts = bitmap.chunks(BITMAP_PART_BYTES)

    def _on_positions(self, message: Positions) -> None:
        """Note how far the other targets are: what they have durable need not be marked for them any more."""
        if message.epoch != self.epoch or self.state != "InSync" or self._waiting:
            return
        if message.generation != self.metadata.generation:
            return  # of before or after the newest generation: it cannot be told who was in sync when that began
        metadata = self.metadata
        told = {name: seq for name, (_, seq, _) in message.durable.items()}
        for name in self.peer_bitmaps.update(told, self.applied):
            record, (epoch, _, sync) = peer_records.record_of(metadata, name), message.durable[name]
            if not record.tracked or record.epoch != epoch or metadata.generation not in record.base:
                metadata = peer_records.in_sync(metadata, name, metadata.generation, sync, epoch=epoch, loose=True)
        if metadata is not self.metadata:
            self._commit_then("tracked", metadata)

    def _on_handover(self, peer: str, message: Handover, now: float) -> None:
        """The former source asks this node to be source: only as what it was when it left that source."""
        metadata = self.metadata
        unchanged = metadata.epoch == message.epoch and metadata.generation == message.generation
        bound = bool(metadata.promised)  # R11: the node that it voted for may be source
        if bound and self.state == "Disconnected":
            elected = newest(metadata).node
            self.reason = f"{peer} hands over to {self.node}, which has voted for {elected}: that may be source. "
            self.reason += f"Start {elected}, or promote {self.node} if {elected} is off for good"
        free = self._vote.at(now) in ("", self.node) and not bound and not self._waiting
        apart = self.state in ("Disconnected", "Refused")  # refused by another source: one that was elected before
        if unchanged and apart and free and metadata.store_state != "Inconsistent":
            self.inherits = peer
            self._vote.give(self.node, now)

    def yield_to(self, node: str, mode: Literal["keep", "discard"]) -> None:
        """An administrator says that what this node alone has may be replaced by what ``node`` has."""
        self._commit_then("yields", msgspec.structs.replace(self.metadata, yields=mode, yields_to=node))
        self._hello_at = 0.0

    # --- time, commits -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Let time pass: Hellos, heartbeats, the deadline of silence."""
        if self.state != "Disconnected" and now - self._heard > self._timeout:
            whom = self.source or "a source"
            self._leave("Disconnected", f"nothing heard from {whom} for {self._timeout:g} s", now, 0.0)
        if self._owed_at is not None and now >= self._owed_at and not self._waiting:
            self._owed_at = None
            self._commit_then("inconsistent", msgspec.structs.replace(self._recorded, store_state="Inconsistent"))
        self._ask_elected(now)
        if self.state in ("Disconnected", "Behind", "Paused", "Refused") and now >= self._hello_at:
            self._hello(now)
        if now >= self._beat_at:
            self._beat_at = now + self._timeout / 5
            if self.source:
                joined = self._started or self.state == "Connecting"
                epoch = self.epoch if joined else 0
                self._send(self.source, Alive(epoch, self.session, self.state, stalled=self.stalled))

    def _hello(self, now: float) -> None:
        if self._waiting or self._keeping or self._ended:
            return
        vote = self._vote.at(now)
        for peer in self._peers if not vote else [peer for peer in self._peers if peer == vote]:
            marked = self.peer_bitmaps.bitmaps.get(peer)
            marks = marked.count() if marked is not None else 0
            self._send(peer, hello_of(self.metadata, peer, marks, self._software, self.terms, self.advisory))
        if self.state in ("Paused", "Refused"):
            self._hello_at = now + _ASK_AGAIN
        else:
            self._hello_at = now + self._hello_wait
            longest = _HELLO_SOON if now - self._left_at < _SOON else _HELLO_LAST
            self._hello_wait = min(longest, self._hello_wait * 2)

    def committed(self, number: int, now: float) -> None:
        """A record is durable."""
        self.commit_error = None
        what, self._recorded = self._waiting.pop(number)
        if not self._waiting and self._owed_at is None:
            self.metadata = self._recorded  # also if one before it failed, for this one includes what that was about
        if what == "joined" and self.state == "Connecting" and self.source and not self._ended:
            group, slot = self._after
            tracked = [name for name, record in self.metadata.peers.items() if record.tracked]
            self.peer_bitmaps.enter(self.source, tracked)
            self._send_bitmap(self.source)
            self.actions.append(Connect(self.source, group, slot))
            self._subscribed = True
        elif what == "voted" and not self._ended:
            if self._voting == newest(self._recorded):
                self._vote.give(self._voting.node, now)
            self._voting = Ballot()
        elif what == "stood" and self._vote.at(now) == self.node:
            self.stands = Ballot(self._recorded.stood, self.node)
        elif what == "synced" and self._started:
            self._hello_wait = _HELLO_FIRST
            self.progress = None
            self._state("InSync", None)

    def commit_failed(self, number: int, why: str, now: float) -> None:
        """A record could not be made durable: nothing that depends on it may be applied."""
        what, _ = self._waiting.pop(number)
        unsound = self.metadata.store_state == "Inconsistent" != self._recorded.store_state
        self.metadata = self._recorded  # R6: go back to the durable record; what is needed is recorded again
        if unsound:
            # R15: but a copy that is Inconsistent stays so, and is recorded as such as soon as possible.
            self.metadata = msgspec.structs.replace(self.metadata, store_state="Inconsistent")
            self._owed_at = now + _ASK_AGAIN
        self.commit_error = why
        if what in ("voted", "vote withdrawn", "stood"):
            self._voting = Ballot()  # it does not vote; its copy is as good as before
            return
        self._trouble("MetadataError", why, now)

    def _commit_then(self, what: str, metadata: NodeMetadata) -> None:
        self._commits += 1
        self.metadata = metadata
        self._waiting[self._commits] = (what, metadata)
        data = what in ("synced", "generation")
        self.actions.append(Commit(self._commits, data, sync_bitmaps=what == "synced", metadata=metadata))

    # --- leaving and changing state ------------------------------------------------------------------

    def _trouble(self, code: str, text: str, now: float, retry: float = 0.5) -> None:
        if self.source and self.epoch:
            self._send(self.source, Trouble(self.epoch, code, text[:1000]))
        self._gave_up = self.epoch
        unanswered = self.state == "InSync" and code in ("BadFrame", "Gap")
        self._leave("Behind", text, now, retry)
        self._unanswered_break = unanswered

    def _leave(self, state: TargetState, reason: str, now: float, retry: float) -> None:
        if self._subscribed and self.source:
            self.actions.append(Disconnect(self.source))
        if self._started:
            self._left_at = now
        self._subscribed = self._started = False
        self._stop_going_on()
        if state != "Disconnected":
            self.in_sync_when_lost = False
        elif self.state != "Disconnected":
            # The connections of a source that dies break one after the other: the stream's may be first.
            self.in_sync_when_lost = self.state == "InSync" or self._unanswered_break
        self._unanswered_break = False
        self.session = self.epoch = 0
        self.progress = None
        if state == "Disconnected":
            self.source = None
            self.source_stall.forget()
        self._hello_wait = _HELLO_FIRST
        self._hello_at = now + retry
        self._state(state, reason)

    def _state(self, state: TargetState, reason: str | None) -> None:
        check_transition(SEEN_BY_TARGET, self.node, self.state, state)
        if state != self.state:
            level = "info" if state in ("Connecting", "Resyncing", "InSync", "Paused") else "warning"
            self._event("target_state", level, target=self.node, before=self.state, after=state, reason=reason)
        self.state, self.reason = state, reason

    def _send(self, peer: str, message: Message) -> None:
        self.actions.append(Send(peer, message))

    def _event(self, name: str, level: str = "info", **fields: object) -> None:
        self.actions.append(Event(name, level, fields))
