"""How a target comes to follow a source: the Welcome, what must be recorded or saved before, and the subscription."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from dkrepl.config.description import Description
from dkrepl.config.limits import Limits
from dkrepl.config.terms import Terms, advisory, digest
from dkrepl.core.actions import Connect, SaveDiverged, TargetAction
from dkrepl.core.election.vote import as_following
from dkrepl.core.intent.peer_bitmaps import PeerBitmaps
from dkrepl.core.lineage import peer_records
from dkrepl.core.outbox import Outbox
from dkrepl.core.protocol.messages import BitmapPart, Refuse, Trouble, Welcome
from dkrepl.core.target.following import Following
from dkrepl.core.target.progress import Progress
from dkrepl.core.target.record import TargetRecord
from dkrepl.core.target.source_view import Entry
from dkrepl.core.target.voter import Voter
from dkrepl.core.target.welcome import Objection, objection, older_source


class Joining:
    """Decides on what a source answers to a Hello, and takes this node into its stream step by step.

    ``terms``: those of this node's description (R14).
    """

    def __init__(
        self,
        *,
        description: Description,
        terms: Terms,
        following: Following,
        record: TargetRecord,
        voter: Voter,
        progress: Progress,
        peer_bitmaps: PeerBitmaps,
        out: Outbox[TargetAction],
        limits: Limits,
    ) -> None:
        self.saving = False
        """Whether blocks that only this node has are being saved."""
        self._description = description
        self._terms = terms
        self._advisory = digest(advisory(description))
        self._following = following
        self._record = record
        self._voter = voter
        self._progress = progress
        self._peer_bitmaps = peer_bitmaps
        self._out = out
        self._limits = limits
        self._parts: Iterator[tuple[int, bytes]] | None = None  # of the bitmap for the source, still to be sent

    def on_refuse(self, peer: str, message: Refuse, now: float) -> None:
        """A source refuses this node."""
        following, metadata = self._following, self._record.metadata
        if following.source.name not in (None, peer) or following.position is not None:
            return
        following.fire("paused" if message.code == "Paused" else "refused", message.text)
        following.source.found(peer, now)
        following.hello.ask_again(now)
        following.source.refusal = message.code
        if message.code == "SplitBrain" and not peer_records.record_of(metadata, peer).split_brain:
            self._record.commit("split brain", peer_records.remembered(metadata, peer, split_brain=True))

    def on_welcome(self, peer: str, message: Welcome, now: float) -> None:
        """A source lets this node in; it may have reasons of its own not to follow."""
        following, record = self._following, self._record
        connecting = following.state == "Connecting" and following.source.name not in (peer, None)
        if following.position is not None or connecting:
            return
        if message.epoch <= record.metadata.epoch or record.waiting or self.saving:
            return
        if self._voter.votes_for(now) not in ("", peer):
            return  # R11: this node has voted for another
        if (found := older_source(record.metadata, peer, message)) is not None:
            # Nor does that source count as heard: it can answer nothing without this node.
            following.source.heard = now
            following.hello.ask_again(now)
            self._out.send(peer, Trouble(message.epoch, found.code, found.text))  # its status says so, too
            self._voter.serves(peer)
            self._object(found)
        elif (found := objection(record.metadata, self._terms, peer, message)) is not None:
            self._object(found)
        elif self._must_save(peer):
            self._save_first(peer, now)
        else:
            following.fire("welcomed", None)
            self._enter(peer, message, now)

    def _object(self, found: Objection) -> None:
        self._following.fire("refused", found.text)
        if found.code:
            self._following.source.refusal = found.code

    def _enter(self, peer: str, message: Welcome, now: float) -> None:
        following = self._following
        following.begin(Entry.of(message))
        following.source.found(peer, now)
        # Recorded before anything is applied, so that metadata restored from a backup is found out at the next epoch.
        metadata = msgspec.structs.replace(
            self._record.metadata,
            mirror_id=message.mirror_id,
            epoch=message.epoch,
            follows=peer,
            next_source="",
            next_source_epoch=0,
            agreed=self._terms,
            former=tuple(message.former),
            last_mode=self._description.node(following.node).mode,
            unsettled=True,
        )
        metadata = as_following(metadata, message.ballot)
        self._voter.follows(peer)  # it is source now
        following.source.advisory_differs = message.advisory != self._advisory
        self._record.commit("joined", peer_records.loosened(peer_records.saved_only_for(metadata, peer)))

    def subscribe(self) -> None:
        """The epoch is recorded: begin to mark what is written, tell the source what it may lack, and subscribe."""
        following = self._following
        entry, source = following.entry, following.source.name
        assert entry is not None
        assert source is not None
        tracked = [name for name, record in self._record.metadata.peers.items() if record.tracked]
        self._peer_bitmaps.enter(source, tracked)
        bitmap = self._peer_bitmaps.bitmaps[source]
        entry.dirty_blocks_sent = bitmap.count()
        if entry.dirty_blocks_sent:
            self._parts = bitmap.chunks(self._limits.bitmap_part_bytes)  # R7, R8: the source copies them over
            entry.sending_bitmap = True
        self._out.add(Connect(source, entry.group, entry.slot))
        self._progress.subscribed()
        entry.subscribed = True

    @property
    def sending(self) -> bool:
        """Whether more of the bitmap for the source is to be sent."""
        entry = self._following.entry
        return entry is not None and entry.sending_bitmap

    def go_on(self) -> None:
        """Send some more of the bitmap for the source; to be called in each round (R13)."""
        entry, source = self._following.entry, self._following.source.name
        if entry is None or source is None or self._parts is None or not entry.sending_bitmap:
            return
        for _ in range(self._limits.bitmap_parts_a_round):
            part = next(self._parts, None)
            if part is None:
                self._parts, entry.sending_bitmap = None, False
                break
            self._out.send(source, BitmapPart(entry.epoch, *part))

    # --- blocks that only this node has (R7) -----------------------------------------------------------

    def _must_save(self, peer: str) -> bool:
        """Whether ``peer`` would replace acknowledged writes that are here and that it may lack.

        Not so if ``peer`` was synchronous then and in the stream to the end: it has every acknowledged write too.
        """
        metadata = self._record.metadata
        bitmap, record = self._peer_bitmaps.bitmaps[peer], peer_records.record_of(metadata, peer)
        if record.saved or not bitmap.any():
            return False
        if metadata.yields_to == peer:
            return metadata.yields == "keep"
        return not peer_records.has_all(record, metadata.generation)

    def _save_first(self, peer: str, now: float) -> None:
        following, here = self._following, self._following.node
        if self._description.on_diverged == "ask" and self._record.metadata.yields_to != peer:
            own = self._peer_bitmaps.bitmaps[peer].count() * self._description.block
            text = (
                f"up to {own} bytes that this node wrote may not be at {peer}; to keep them in a file and follow "
                f"it: dkrepl resolve --keep {peer} on {here}"
            )
            following.fire("refused", text)
            following.source.found(peer, now)
            following.hello.ask_again(now)
            following.source.refusal = "Diverged"
            return
        following.fire("saving", f"the blocks that only this node has are saved before it follows {peer}")
        self.saving = True
        following.source.found(peer, now)
        self._out.add(SaveDiverged(peer))

    def diverged_saved(self, peer: str, error: str | None, now: float) -> None:
        """The blocks that only this node has are in a file, or cannot be."""
        self.saving = False
        following = self._following
        if error is None:
            self._record.commit("saved", peer_records.remembered(self._record.metadata, peer, saved=True))
            following.hello.due_at(now)
        else:  # it has followed nobody meanwhile
            following.hello.ask_again(now)
            following.fire("refused", error)

    def yield_to(self, node: str, mode: Literal["keep", "discard"]) -> int:
        """An administrator says that what this node alone has may be replaced by what ``node`` has.

        Returns the number of the commit that records it.
        """
        self._following.hello.due_at(0.0)
        record = msgspec.structs.replace(self._record.metadata, yields=mode, yields_to=node)
        return self._record.commit("yields", record)
