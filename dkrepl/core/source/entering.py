"""How a target enters the stream: Hello, Welcome, its bitmap, the probe, Ready; each step recorded before the next.

If every block of it is to be copied, its bitmap is filled piece by piece first (R13): no commit may record a bitmap as
valid before that (R2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dkrepl.config.description import Description
from dkrepl.config.limits import Limits
from dkrepl.config.terms import Terms, advisory, digest, disagreement
from dkrepl.core.actions import PublishMarker, SourceAction
from dkrepl.core.lineage import peer_records
from dkrepl.core.lineage.generation import decide
from dkrepl.core.outbox import Outbox
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.messages import BitmapPart, Hello, Ready, Refuse
from dkrepl.core.source import epoch_offer
from dkrepl.core.source.record import Admission, Offer, SourceRecord
from dkrepl.core.source.target_view import Entry, TargetView
from dkrepl.core.source.targets import Targets


class Entering:
    """Leads each target into the stream, step by step.

    ``admit(view, now)`` lets a target into the stream once its admission is recorded.
    """

    def __init__(
        self,
        *,
        description: Description,
        terms: Terms,
        session: int,
        record: SourceRecord,
        targets: Targets,
        admit: Callable[[TargetView, float], None],
        out: Outbox[SourceAction],
        limits: Limits,
    ) -> None:
        self._description = description
        self._terms = terms
        self._advisory = digest(advisory(description))
        self._session = session
        self._record = record
        self._targets = targets
        self._admit = admit
        self._out = out
        self._limits = limits
        self._timeout = description.peer_timeout
        self._filling: dict[str, Offer | Admission] = {}  # what goes on when a bitmap is filled, by target

    def on_hello(self, peer: str, hello: Hello, now: float) -> None:
        """A target asks to join."""
        view, node = self._targets.views.get(peer), self._record.metadata.node
        if view is None or hello.node != peer:
            text = (
                f"{peer} is not a node of {self._description.name} in the description on {node}; make the descriptions "
                "equal, and restart the source's daemon"
            )
            self._out.send(peer, Refuse("UnknownNode", text, node))
            self._out.report("target_refused", "warning", target=peer, code="UnknownNode", reason=text)
            return
        view.heard = now
        if view.stall.too_long(now):
            return  # it repeats its Hello, and reports when its store moves again
        if view.state == "Paused":
            self._out.send(peer, Refuse("Paused", f"{peer} is paused; resume it at the source", node))
            return
        if (refusal := epoch_offer.protocol_refusal(hello, peer)) is not None:
            self._targets.refuse(view, *refusal, now)
            return
        entry = view.entry
        if entry is not None and hello.epoch < view.epoch and now < entry.deadline - self._timeout:
            if entry.probe_wait:
                self._welcome(view, entry, now)  # its Hello and our Welcome crossed
            return
        if self._record.metadata.store_failed:
            text = (
                f"the store of {node} failed a flush, so {peer} may have the better copy; promote {peer}, or, if "
                f"the store is sound, dkrepl clear {self._description.name} store-failed on {node}"
            )
            self._targets.refuse(view, "SourceStoreError", text, now)
            return
        if view.in_stream or view.state == "Connecting":
            self._targets.leave(view, "connection lost", "it connected anew", now)
        self._decide(view, hello, now)

    def _decide(self, view: TargetView, hello: Hello, now: float) -> None:
        peer, metadata = view.name, self._record.metadata
        asked = peer_records.record_of(metadata, peer).full
        if hello.mirror_id and hello.store_state == "Inconsistent":
            self._targets.store_failed(view)  # or it is in the middle of a resync: it does not count either
            metadata = self._record.metadata
        decision = decide(metadata, hello, asked or view.bitmap.any())
        if decision.action == "Refuse":
            if decision.code == "SplitBrain":
                self.note_split_brain(peer)
            self._targets.refuse(view, decision.code, decision.text, now)
            return
        differs = disagreement(self._terms, hello.terms, peer, self._description.name)
        if differs is not None:
            self._targets.refuse(view, "DescriptionsDiffer", differs, now)
            return
        self._note_advisory(view, hello.advisory)
        if decision.action == "Full" or asked:
            # Before the epoch is recorded: a crash in between must not leave an empty bitmap that counts.
            view.bitmap.begin_fill(1)
        view.epoch = max(view.epoch, peer_records.record_of(metadata, peer).offered, hello.epoch) + 1
        self._targets.fire(view, "hello accepted", decision.text)
        view.entry = Entry(deadline=now + 2 * self._timeout)
        self._record_step(view, Offer(peer, view.epoch, hello, decision))
        self._out.report(
            "target_joins", target=peer, decision=decision.action, code=decision.code, reason=decision.text
        )

    def note_split_brain(self, peer: str) -> None:
        """R15: record a split-brain: it stays known until it is resolved, even after a restart without the peer."""
        if not peer_records.record_of(self._record.metadata, peer).split_brain:
            self._record.set(peer_records.remembered(self._record.metadata, peer, split_brain=True))

    def _note_advisory(self, view: TargetView, theirs: str) -> None:
        differ, node = theirs != self._advisory, self._record.metadata.node
        if differ and not view.advisory_differs:
            text = f"the descriptions of {node} and {view.name} differ: dkrepl config diff {self._description.name}"
            self._out.report("descriptions_differ", "warning", target=view.name, reason=text)
        view.advisory_differs = differ

    def _welcome(self, view: TargetView, entry: Entry, now: float) -> None:
        welcome = epoch_offer.welcome(self._record.metadata, view, self._session, self._terms, self._advisory)
        self._out.send(view.name, welcome)
        entry.probe_at, entry.probe_wait = now, self._limits.probe_first_seconds

    def on_bitmap_part(self, view: TargetView, message: BitmapPart, now: float) -> None:
        """Note blocks that it wrote and we may lack: they are copied to it, like ours that it may lack (R7, R8)."""
        entry = view.entry
        if entry is None or message.epoch != view.epoch:
            return
        try:
            entry.bits_received += view.bitmap.merge(message.first, message.bits)
        except ValueError as error:
            self._targets.evict(view, "BadBitmap", str(error), now)

    def on_ready(self, view: TargetView, message: Ready, now: float) -> None:
        """Its subscriptions are in place."""
        entry = view.entry
        if entry is None or message.epoch != view.epoch or not entry.probe_wait:
            return
        if entry.bits_received != message.dirty_blocks:
            view.bitmaps_lost += 1
            if view.bitmaps_lost < self._limits.bitmaps_lost:
                text = f"{entry.bits_received} of its {message.dirty_blocks} dirty blocks have arrived"
                self._targets.evict(view, "BitmapLost", text, now)
                return
            self._out.report("peer_bitmap_lost", "warning", target=view.name, outcome="full resync")
            view.bitmap.begin_fill(1)  # parts were lost each time: copy everything
            entry.bits_received = view.bitmap.blocks
        view.bitmaps_lost = 0
        entry.probe_wait = 0.0
        self._record_step(view, Admission(view.name, view.epoch))

    def probe(self, view: TargetView, now: float) -> None:
        """Publish the probe again, if it is time."""
        entry = view.entry
        if entry is not None and entry.probe_wait and now >= entry.probe_at:
            self._out.add(PublishMarker(peer=view.name, op=frames.PROBE, number=0))
            entry.probe_at = now + entry.probe_wait
            entry.probe_wait = min(self._limits.probe_last_seconds, entry.probe_wait * 2)

    # --- recording -------------------------------------------------------------------------------------

    def _record_step(self, view: TargetView, step: Offer | Admission) -> None:
        """Record a step, after its bitmap is filled if that is under way."""
        self._filling.pop(view.name, None)
        if view.bitmap.filling:
            self._filling[view.name] = step
            self.fill_step()
        else:
            self._commit(view, step, False)

    def _commit(self, view: TargetView, step: Offer | Admission, filled: bool) -> None:
        record = self._record
        if isinstance(step, Offer):
            record.metadata = epoch_offer.offered(record.metadata, step.hello, step.epoch, step.decision)
            record.commit(step, sync_bitmaps=True)
            return
        # R2: recorded before a bit can be cleared that a copy of an earlier epoch still needs.
        facts: dict[str, Any] = {"epoch": view.epoch, "merged": True, "full": False, "unproven": True}
        record.metadata = peer_records.remembered(record.metadata, view.name, **facts)
        received = view.entry.bits_received if view.entry is not None else 0
        record.commit(step, sync_bitmaps=filled or received > 0)

    @property
    def filling(self) -> bool:
        """Whether ``fill_step`` has more to do."""
        return any(view.bitmap.filling for view in self._targets.views.values())

    def fill_step(self) -> None:
        """Go on filling the bitmaps of which every block is to be copied; to be called in each round (R13)."""
        for view in self._targets.views.values():
            if view.bitmap.filling:
                view.bitmap.fill_step()
            step = None if view.bitmap.filling else self._filling.pop(view.name, None)
            if step is not None and view.entry is not None and view.epoch == step.epoch:
                self._commit(view, step, True)

    def recorded(self, step: Offer | Admission, now: float) -> None:
        """A step is durable."""
        view = self._targets.views[step.name]
        if view.entry is None or view.epoch != step.epoch:
            return  # it has left meanwhile, or begun anew
        if isinstance(step, Offer):
            self._welcome(view, view.entry, now)
        else:
            self._admit(view, now)

    def not_recorded(self, step: Offer | Admission, why: str, now: float) -> None:
        """A step could not be recorded."""
        view = self._targets.views[step.name]
        if view.entry is not None and view.epoch == step.epoch:
            self._targets.evict(view, "SourceMetadata", f"the source cannot record the epoch: {why}", now)
