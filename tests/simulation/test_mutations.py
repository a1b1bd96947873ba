"""Each rule can fail: a deliberately broken copy of the logic is caught, under the name of its rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dkrepl.core import frames, generation, messages, source
from dkrepl.core.frames import StreamMessage
from dkrepl.core.generation import Decision
from dkrepl.core.intent_log import IntentLog
from dkrepl.core.source import Source
from dkrepl.core.stream import Stream
from dkrepl.core.target import Target
from dkrepl.core.target_view import TargetView
from dkrepl.core.write_log import WriteLog
from dkrepl.daemon import intent, publisher
from tests.simulation import cluster, settings
from tests.simulation.simulate import simulate

MOST_SEEDS = 300

Patch = pytest.MonkeyPatch


def writes_do_not_wait_for_the_intent(patch: Patch) -> None:
    right = Source.admit

    def admit(self: Source, offset: int, length: int) -> bool:
        return right(self, offset, length) or not self._minting.needed

    patch.setattr(Source, "admit", admit)


def extents_leave_without_their_bits_flushed(patch: Patch) -> None:
    right = intent.IntentStore.commit

    def commit(self: intent.IntentStore, commit: Any, store: Any) -> None:
        right(self, replace(commit, sync_bitmaps=False), store)

    patch.setattr(intent.IntentStore, "commit", commit)


def bits_are_cleared_when_applied(patch: Patch) -> None:
    right = TargetView.advance

    def advance(self: TargetView, applied: int, durable: int, log: WriteLog, now: float) -> None:
        right(self, applied, applied, log, now)

    patch.setattr(TargetView, "advance", advance)


def a_later_write_does_not_keep_the_bit(patch: Patch) -> None:
    def clear_range(self: WriteLog, bits: Any, first: int, end: int, durable: int, keep: Any) -> None:
        bits[first:end] = 0

    patch.setattr(WriteLog, "clear_range", clear_range)
    patch.setattr(WriteLog, "clear_confirmed", _clear_all)


def _clear_all(self: WriteLog, bits: Any, older: int, durable: int, keep: Any) -> None:
    for seq in range(older + 1, durable + 1):
        first, end = self._ranges[seq & (len(self._ranges) - 1)]
        bits[first:end] = 0


def a_failed_flush_is_overlooked(patch: Patch) -> None:
    patch.setattr(Source, "local_sync_failed", lambda self, now: None)


def a_gap_is_overlooked(patch: Patch) -> None:
    right = Target.admit

    def admit(self: Target, message: StreamMessage, now: float) -> Any:
        if message.kind == frames.LIVE and self._started and message.session == self.session:
            self.applied = max(self.applied, message.first - 1)
        return right(self, message, now)

    patch.setattr(Target, "admit", admit)


def a_flush_is_no_barrier(patch: Patch) -> None:
    right = Target.did_apply

    def did_apply(self: Target, message: StreamMessage) -> bool:
        right(self, message)
        return False

    patch.setattr(Target, "did_apply", did_apply)


def a_sync_write_does_not_wait(patch: Patch) -> None:
    patch.setattr(TargetView, "holds", lambda self, seq, log: False)


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
    patch.setattr(TargetView, "over", lambda self, seq, log: False)


def a_slow_target_keeps_the_intent_log_full(patch: Patch) -> None:
    patch.setattr(Source, "_make_room", lambda self, now: None)


def a_resync_does_not_record_that_it_began(patch: Patch) -> None:
    right = Target._commit_then

    def commit_then(self: Target, what: str, metadata: Any) -> None:
        if what != "inconsistent":
            right(self, what, metadata)

    patch.setattr(Target, "_commit_then", commit_then)


def nobody_mints_a_generation(patch: Patch) -> None:
    right = Source._leave

    def leave(self: Source, view: TargetView, state: Any, reason: str | None, now: float) -> None:
        needed = self._minting.needed
        right(self, view, state, reason, now)
        self._minting.needed, self.stream.hold = needed, False

    patch.setattr(Source, "_leave", leave)


def whoever_comes_is_overwritten(patch: Patch) -> None:
    def decide(metadata: Any, hello: messages.Hello, dirty: bool) -> Decision:
        found = generation.decide(metadata, hello, dirty)
        return Decision("Full", "NewTarget", found.text) if found.action == "Refuse" else found

    patch.setattr(source, "decide", decide)


def everything_is_copied_each_time(patch: Patch) -> None:
    def decide(metadata: Any, hello: messages.Hello, dirty: bool) -> Decision:
        found = generation.decide(metadata, hello, dirty)
        return Decision("Full", found.code, found.text) if found.action == "Partial" else found

    patch.setattr(source, "decide", decide)


def a_restart_marks_everything(patch: Patch) -> None:
    right = intent.IntentStore.__init__

    def init(self: intent.IntentStore, *arguments: Any) -> None:
        right(self, *arguments)
        for file in self.files.values():
            file.bitmap.fill(1)

    patch.setattr(intent.IntentStore, "__init__", init)


def checksums_are_not_looked_at(patch: Patch) -> None:
    for module in (frames, publisher):
        patch.setattr(module, "checksum", lambda data: 0)


def in_sync_is_said_too_early(patch: Patch) -> None:
    right = Source._enter

    def enter(self: Source, view: TargetView, now: float) -> None:
        right(self, view, now)
        self._state(view, "InSync", None)

    patch.setattr(Source, "_enter", enter)


def the_dead_are_not_missed(patch: Patch) -> None:
    patch.setattr(Source, "_check_deadlines", lambda self, view, now: None)


def a_lost_welcome_is_not_repeated(patch: Patch) -> None:
    right = Source._welcome
    told: set[int] = set()

    def welcome(self: Source, view: TargetView, now: float) -> None:
        if id(self) not in told:
            right(self, view, now)
        told.add(id(self))

    patch.setattr(Source, "_welcome", welcome)


def extents_are_never_let_go(patch: Patch) -> None:
    patch.setattr(IntentLog, "_may_leave", lambda self, extent, confirmed: False)


MUTATIONS: list[tuple[str, Callable[[Patch], None]]] = [
    ("R1", writes_do_not_wait_for_the_intent),
    ("R1", extents_leave_without_their_bits_flushed),
    ("R2", bits_are_cleared_when_applied),
    ("R2", a_later_write_does_not_keep_the_bit),
    ("R2", a_failed_flush_is_overlooked),
    ("R3", a_gap_is_overlooked),
    ("R3", a_flush_is_no_barrier),
    ("R4", a_sync_write_does_not_wait),
    ("R4", a_flush_does_not_wait_for_targets),
    ("R5", windows_have_no_limit),
    ("R5", a_slow_target_keeps_the_intent_log_full),
    ("R6", a_resync_does_not_record_that_it_began),
    ("R7", nobody_mints_a_generation),
    ("R7", whoever_comes_is_overwritten),
    ("R8", everything_is_copied_each_time),
    ("R8", a_restart_marks_everything),
    ("R9", checksums_are_not_looked_at),
    ("R10", in_sync_is_said_too_early),
    ("R10", the_dead_are_not_missed),
    ("liveness", a_lost_welcome_is_not_repeated),
    ("liveness", extents_are_never_let_go),
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("rule", "mutation"), MUTATIONS, ids=[mutation.__name__ for _, mutation in MUTATIONS])
def test_a_broken_copy_is_caught(rule: str, mutation: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mutation(monkeypatch)
    if rule == "R7":
        right = settings.draw
        monkeypatch.setattr(cluster, "draw", lambda rng: replace(right(rng), roles=True))
    found: dict[str, int] = {}
    for seed in range(1, MOST_SEEDS + 1):
        failure = simulate(seed).failure
        if failure is not None:
            found.setdefault(failure.rule, seed)
            if failure.rule == rule:
                return
    pytest.fail(f"{MOST_SEEDS} seeds did not break {rule}; they broke {found}")
