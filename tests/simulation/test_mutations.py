"""Each rule can fail: a deliberately broken copy of the logic is caught, under the name of its rule."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from bitarray import bitarray

from dkrepl.config import terms
from dkrepl.core.election import arbitration, contention, objections, quorum
from dkrepl.core.intent.activity_log import ActivityLog
from dkrepl.core.intent.peer_bitmaps import PeerBitmaps
from dkrepl.core.lineage import generation, peer_records
from dkrepl.core.lineage.generation import Decision
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol import frames, messages
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.frames import StreamMessage
from dkrepl.core.source import entering, known_terms, publisher
from dkrepl.core.source.backpressure import BackPressure
from dkrepl.core.source.commits import Commits
from dkrepl.core.source.ending import Ending
from dkrepl.core.source.entering import Entering
from dkrepl.core.source.member import Member
from dkrepl.core.source.resync_lifecycle import ResyncLifecycle
from dkrepl.core.source.resync_state import Resync
from dkrepl.core.source.source import Source
from dkrepl.core.source.store_verdict import StoreVerdict
from dkrepl.core.source.stream import Stream
from dkrepl.core.source.target_view import Entry, TargetView
from dkrepl.core.source.targets import Targets
from dkrepl.core.source.write_admission import WriteAdmission
from dkrepl.core.source.write_log import WriteLog
from dkrepl.core.target import voter, welcome
from dkrepl.core.target.joining import Joining
from dkrepl.core.target.progress import Progress
from dkrepl.core.target.record import TargetRecord
from dkrepl.core.target.stream import TargetStream
from dkrepl.core.target.target import Target
from dkrepl.daemon import intent_store
from dkrepl.daemon.control.commands import promote
from dkrepl.daemon.peers.promotions import Promotions
from dkrepl.io.store.store import StoreFailed
from tests.simulation import cluster, faults, files, settings
from tests.simulation.seeds import cores
from tests.simulation.simulate import simulate

MOST_SEEDS = 1000

Patch = pytest.MonkeyPatch


def writes_do_not_wait_for_the_intent(patch: Patch) -> None:
    right = WriteAdmission.admit

    def admit(self: WriteAdmission, offset: int, length: int) -> bool:
        return right(self, offset, length) or not self._new_generation.needed

    patch.setattr(WriteAdmission, "admit", admit)


def extents_leave_without_their_bits_flushed(patch: Patch) -> None:
    right = intent_store.IntentStore.commit

    def commit(self: intent_store.IntentStore, commit: Any, store: Any) -> None:
        right(self, replace(commit, sync_bitmaps=False), store)

    patch.setattr(intent_store.IntentStore, "commit", commit)


def memory_of_another_opening_is_trusted(patch: Patch) -> None:
    def reopen(self: files.BitmapFile, label: bytes, length: int) -> memoryview | None:
        return self._fresh(label, length)[0]

    patch.setattr(files.BitmapFile, "_reopen", reopen)


def bits_are_cleared_when_applied(patch: Patch) -> None:
    right = Member.advance

    def advance(self: Member, applied: int, durable: int, log: WriteLog, now: float) -> None:
        right(self, applied, applied, log, now)

    patch.setattr(Member, "advance", advance)


def a_later_write_does_not_keep_the_bit(patch: Patch) -> None:
    def clear_ranges(self: WriteLog, bitmap: Any, ranges: Any, durable: int, resync: Any) -> None:
        for first, end in ranges:
            bitmap.clear(first, end)

    patch.setattr(WriteLog, "clear_ranges", clear_ranges)
    patch.setattr(WriteLog, "clear_confirmed", _clear_all)


def _clear_all(self: WriteLog, bitmap: Any, older: int, durable: int, resync: Any) -> None:
    for seq in range(older + 1, durable + 1):
        bitmap.clear(*self._ranges[seq & (len(self._ranges) - 1)])


def a_resync_forgets_what_it_still_has_to_send(patch: Patch) -> None:
    patch.setattr(Resync, "unsynced", lambda self, first, end: None)


def a_live_write_of_a_resync_hides_what_was_stale(patch: Patch) -> None:
    patch.setattr(Resync, "before_write", lambda self, first, end: self._stale.update({first >> 4: bitarray(16)}))


def a_failed_flush_is_overlooked(patch: Patch) -> None:
    patch.setattr(StoreVerdict, "flush_failed", lambda self, why, now: None)


def a_gap_is_overlooked(patch: Patch) -> None:
    right = TargetStream.admit

    def admit(self: TargetStream, message: StreamMessage, now: float) -> Any:
        position, entry = self._following.position, self._following.entry
        if message.kind == frames.LIVE and position is not None and entry and message.session == entry.session:
            position.applied = max(position.applied, message.first - 1)
        return right(self, message, now)

    patch.setattr(TargetStream, "admit", admit)


def writes_do_not_wait_for_a_discard_under_way(patch: Patch) -> None:
    patch.setattr(Stream, "changing", lambda self, offset, length: False)


def a_flush_is_no_barrier(patch: Patch) -> None:
    right = Progress.applied

    def applied(self: Progress, size: int, is_barrier: bool) -> None:
        right(self, size, False)

    patch.setattr(Progress, "applied", applied)


def a_sync_write_does_not_wait(patch: Patch) -> None:
    patch.setattr(Member, "holds", lambda self, seq, log: False)


def a_flush_does_not_wait_for_targets(patch: Patch) -> None:
    right = Stream.release

    def release(self: Stream) -> Any:
        members, self.members = self.members, tuple(v for v in self.members if v.mode != "sync")
        try:
            return right(self)
        finally:
            self.members = members

    patch.setattr(Stream, "release", release)


def windows_have_no_limit(patch: Patch) -> None:
    patch.setattr(Member, "over", lambda self, seq, log: False)


def a_slow_target_keeps_the_intent_log_full(patch: Patch) -> None:
    patch.setattr(BackPressure, "make_room", lambda self, now: None)


def a_resync_does_not_record_that_it_began(patch: Patch) -> None:
    right = TargetRecord.commit

    def commit(self: TargetRecord, purpose: Any, metadata: Any, place: Any = None) -> int:
        return 0 if purpose == "inconsistent" else right(self, purpose, metadata, place)

    patch.setattr(TargetRecord, "commit", commit)


def nobody_mints_a_generation(patch: Patch) -> None:
    right = Targets.leave

    def leave(self: Targets, view: TargetView, event: Any, reason: str | None, now: float) -> None:
        needed = self._new_generation.needed
        right(self, view, event, reason, now)
        self._new_generation.needed, self._stream.hold = needed, False

    patch.setattr(Targets, "leave", leave)


def whoever_comes_is_overwritten(patch: Patch) -> None:
    def decide(metadata: Any, hello: messages.Hello, dirty: bool) -> Decision:
        found = generation.decide(metadata, hello, dirty)
        return Decision("Full", "NewTarget", found.text) if found.action == "Refuse" else found

    patch.setattr(entering, "decide", decide)


def everything_is_copied_each_time(patch: Patch) -> None:
    def decide(metadata: Any, hello: messages.Hello, dirty: bool) -> Decision:
        found = generation.decide(metadata, hello, dirty)
        return Decision("Full", found.code, found.text) if found.action == "Partial" else found

    patch.setattr(entering, "decide", decide)


def a_restart_marks_everything(patch: Patch) -> None:
    right = intent_store.IntentStore.__init__

    def init(self: intent_store.IntentStore, *arguments: Any, **named: Any) -> None:
        right(self, *arguments, **named)
        for file in self.files.values():
            file.bitmap.fill(1)

    patch.setattr(intent_store.IntentStore, "__init__", init)


def checksums_are_not_looked_at(patch: Patch) -> None:
    for module in (frames, publisher):
        patch.setattr(module, "checksum", lambda data: 0)


def in_sync_is_said_too_early(patch: Patch) -> None:
    right = ResyncLifecycle.begin

    def begin(self: ResyncLifecycle, view: TargetView, now: float) -> None:
        right(self, view, now)
        self._targets.fire(view, "copied", None)

    patch.setattr(ResyncLifecycle, "begin", begin)


def the_dead_are_not_missed(patch: Patch) -> None:
    patch.setattr(Source, "_check_deadlines", lambda self, view, now: None)


def a_lost_welcome_is_not_repeated(patch: Patch) -> None:
    right = Entering._welcome
    told: set[int] = set()

    def welcome(self: Entering, view: TargetView, entry: Entry, now: float) -> None:
        if id(self) not in told:
            right(self, view, entry, now)
        told.add(id(self))

    patch.setattr(Entering, "_welcome", welcome)


def extents_are_never_let_go(patch: Patch) -> None:
    patch.setattr(ActivityLog, "_may_leave", lambda self, extent, confirmed: False)


def a_flush_that_failed_counts_as_done(patch: Patch) -> None:
    right = files.Store.sync

    def sync(self: files.Store) -> None:
        with contextlib.suppress(StoreFailed):
            right(self)

    patch.setattr(files.Store, "sync", sync)


def a_record_that_failed_counts_as_made(patch: Patch) -> None:
    def failed(self: Commits, number: int, why: str, now: float) -> bool:
        self.committed(number, now)
        return False

    patch.setattr(Commits, "failed", failed)


def a_targets_record_that_failed_counts_as_made(patch: Patch) -> None:
    patch.setattr(Target, "commit_failed", lambda self, number, why, now, store=False: self.committed(number, now))


def a_write_that_failed_is_published(patch: Patch) -> None:
    right = files.Store.write

    def write(self: files.Store, offset: int, data: Any) -> None:
        with contextlib.suppress(StoreFailed):
            right(self, offset, data)

    patch.setattr(files.Store, "write", write)


def nothing_is_marked_for_the_other_targets(patch: Patch) -> None:
    patch.setattr(PeerBitmaps, "mark", lambda self, offset, length: None)


def a_promotion_is_never_refused(patch: Patch) -> None:
    patch.setattr(promote, "_check", lambda found, token: None)
    patch.setattr(Promotions, "stand", lambda self, later, fenced, force, then: then(SimpleNamespace(codes=()), None))


def nothing_is_kept_aside(patch: Patch) -> None:
    patch.setattr(Joining, "_must_save", lambda self, peer: False)


def a_handover_does_not_wait(patch: Patch) -> None:
    right = Ending._say_goodbye

    def say_goodbye(self: Ending, now: float) -> None:
        right(self, now)
        self.drained = {member.name: member.epoch for member in self._stream.members}

    patch.setattr(Ending, "_say_goodbye", say_goodbye)


def a_promotion_does_not_count_who_answered(patch: Patch) -> None:
    patch.setattr(quorum, "decisive", lambda silent, terms: [])
    patch.setattr(quorum, "decisive_to_serve", lambda silent, terms: [])


def a_voter_goes_back_to_an_older_source(patch: Patch) -> None:
    for module in (voter, welcome):
        patch.setattr(module, "newest", lambda metadata: Ballot())
    patch.setattr(faults, "ROLES", faults.ROLES | {"cut off": 30})
    patch.setattr(cluster, "draw", _two_pairs)


def a_former_source_serves_beside_a_later_one_with_older_data(patch: Patch) -> None:
    """No seed meets that soon: the story of it, in test_former_sources.py, is what breaks."""
    right = contention.contention

    def lenient(metadata: NodeMetadata, answer: messages.Answer) -> Any:
        found = right(metadata, answer)
        return None if found == "asks" and contention.older(metadata, answer) else found

    patch.setattr(arbitration, "contention", lenient)


def _two_pairs(rng: random.Random) -> settings.Settings:
    """Four nodes with two copies of each write: two pairs of them could serve side by side."""
    drawn = settings.draw(rng)
    while len(drawn.description.nodes) != 4:
        drawn = settings.draw(rng)
    nodes = tuple(msgspec.structs.replace(node, mode="sync") for node in drawn.description.nodes)
    description = msgspec.structs.replace(drawn.description, nodes=nodes, min_copies=2)
    return replace(drawn, description=description, roles=True, never_waits=False)


def a_resync_that_was_cut_short_counts(patch: Patch) -> None:
    """No seed meets that soon: the story of it, in test_cut_short.py, is what breaks."""
    right = peer_records.remembered

    def remembered(metadata: NodeMetadata, name: str, **facts: Any) -> NodeMetadata:
        return right(metadata, name, **(facts | {"unproven": False}))

    patch.setattr(peer_records, "remembered", remembered)


def descriptions_that_differ_are_not_refused(patch: Patch) -> None:
    for module in (terms, objections):
        patch.setattr(module, "differences", lambda here, there: [])


def former_terms_are_forgotten(patch: Patch) -> None:
    patch.setattr(known_terms, "still_former", lambda metadata, knowing: ())


def _restarted_as(patch: Patch, change: Callable[[NodeMetadata], NodeMetadata]) -> None:
    right = Source.__init__

    def init(self: Source, description: Any, node: str, metadata: NodeMetadata, *rest: Any, **named: Any) -> None:
        right(self, description, node, change(metadata), *rest, **named)

    patch.setattr(Source, "__init__", init)


def a_restart_forgets_a_failed_flush(patch: Patch) -> None:
    _restarted_as(patch, lambda metadata: msgspec.structs.replace(metadata, store_failed=""))


def a_restart_forgets_a_full_resync(patch: Patch) -> None:
    def without(metadata: NodeMetadata) -> NodeMetadata:
        peers = {name: msgspec.structs.replace(record, full=False) for name, record in metadata.peers.items()}
        return msgspec.structs.replace(metadata, peers=peers)

    _restarted_as(patch, without)
    # Only a power loss takes the bits from memory, and only until a epoch makes them durable; a pause puts that off.
    right = settings.draw
    patch.setattr(cluster, "draw", lambda rng: replace(right(rng), roles=False, calm=0.3, seconds=15.0))
    patch.setattr(faults, "_COMMANDS", (("pause", {}), ("resync", {"full": True})))
    patch.setattr(faults, "WEIGHTS", dict.fromkeys(faults.WEIGHTS, 0.01))


MUTATIONS: list[tuple[str, Callable[[Patch], None]]] = [
    ("R1", writes_do_not_wait_for_the_intent),
    ("R1", extents_leave_without_their_bits_flushed),
    ("R2", memory_of_another_opening_is_trusted),
    ("R2", bits_are_cleared_when_applied),
    ("R2", a_later_write_does_not_keep_the_bit),
    ("R2", a_resync_forgets_what_it_still_has_to_send),
    ("R2", a_live_write_of_a_resync_hides_what_was_stale),
    ("R2", a_failed_flush_is_overlooked),
    ("R3", a_gap_is_overlooked),
    ("R3", a_flush_is_no_barrier),
    ("R4", a_sync_write_does_not_wait),
    ("R4", a_flush_does_not_wait_for_targets),
    ("R5", windows_have_no_limit),
    ("R5", a_slow_target_keeps_the_intent_log_full),
    ("R6", a_resync_does_not_record_that_it_began),
    ("R7", whoever_comes_is_overwritten),
    ("R8", everything_is_copied_each_time),
    ("R8", a_restart_marks_everything),
    ("R9", checksums_are_not_looked_at),
    ("R10", in_sync_is_said_too_early),
    ("R10", the_dead_are_not_missed),
    ("R2", a_flush_that_failed_counts_as_done),
    ("R1", a_record_that_failed_counts_as_made),
    ("R6", a_targets_record_that_failed_counts_as_made),
    ("R3", a_write_that_failed_is_published),
    ("R2", nothing_is_marked_for_the_other_targets),
    ("R6", a_promotion_is_never_refused),
    ("R7", nothing_is_kept_aside),
    ("R7", a_handover_does_not_wait),
    ("R11", a_promotion_does_not_count_who_answered),
    ("R11", a_voter_goes_back_to_an_older_source),
    ("R3", writes_do_not_wait_for_a_discard_under_way),
    ("R14", descriptions_that_differ_are_not_refused),
    ("R14", former_terms_are_forgotten),
    ("R15", a_restart_forgets_a_failed_flush),
    ("R15", a_restart_forgets_a_full_resync),
    ("liveness", a_lost_welcome_is_not_repeated),
    ("liveness", extents_are_never_let_go),
]
NAMES = [mutation.__name__ for _, mutation in MUTATIONS]
ROLES = (
    whoever_comes_is_overwritten,
    nothing_is_marked_for_the_other_targets,
    a_promotion_is_never_refused,
    nothing_is_kept_aside,
    a_handover_does_not_wait,
    a_promotion_does_not_count_who_answered,
)
OFTEN: dict[Callable[[Patch], None], dict[str, float]] = {  # faults that strike more often than otherwise
    descriptions_that_differ_are_not_refused: {"edit the description": 20},
    former_terms_are_forgotten: {"edit the description": 20},
    a_restart_forgets_a_failed_flush: {"disk fails": 20},
    a_restart_forgets_a_full_resync: {"command": 4, "power": 2},
}


def first_caught(name: str) -> tuple[int, dict[str, int]]:
    """Run seeds of a broken copy until its rule breaks; return that seed, or 0, and the first seed of each rule."""
    rule, mutation = next(entry for entry in MUTATIONS if entry[1].__name__ == name)
    found: dict[str, int] = {}
    with pytest.MonkeyPatch.context() as patch:
        mutation(patch)
        if mutation in ROLES:
            right = settings.draw
            patch.setattr(cluster, "draw", lambda rng: replace(right(rng), roles=True))
        patch.setattr(faults, "WEIGHTS", faults.WEIGHTS | OFTEN.get(mutation, {}))
        for seed in range(1, MOST_SEEDS + 1):
            failure = simulate(seed).failure
            if failure is not None:
                found.setdefault(failure.rule, seed)
                if failure.rule == rule:
                    return seed, found
    return 0, found


@pytest.fixture(scope="module")
def caught(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[tuple[int, dict[str, int]]]]]:
    """Every broken copy that is asked for, on all cores at once."""
    wanted = [name for name in NAMES if any(f"[{name}]" in item.name for item in request.session.items)]
    pool = ProcessPoolExecutor(cores())
    try:
        yield {name: pool.submit(first_caught, name) for name in wanted}
    finally:
        pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("rule", "name"), [(rule, mutation.__name__) for rule, mutation in MUTATIONS], ids=NAMES)
def test_a_broken_copy_is_caught(rule: str, name: str, caught: dict[str, Future[tuple[int, dict[str, int]]]]) -> None:
    seed, found = caught[name].result()
    assert seed, f"{MOST_SEEDS} seeds did not break {rule}; they broke {found}"
