"""A store that stands still is told apart from a node that is dead (R13)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dkrepl.config.description import parse
from dkrepl.config.example import render_example
from dkrepl.core.actions import Commit, Event, Send
from dkrepl.core.intent.activity_log import ActivityLog
from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.protocol.messages import Alive, Evict, Ready, Stalled
from dkrepl.core.source.source import Source
from dkrepl.core.states import TargetState
from tests.unit.core.target.beta import Beta
from tests.unit.greetings import hello
from tests.unit.records import bitmap, record

DESCRIPTION = msgspec.structs.replace(parse(render_example(), "r0", {}), peer_timeout=1.0, store_timeout=10.0)
BLOCKS, PER_EXTENT = DESCRIPTION.size // DESCRIPTION.block, DESCRIPTION.extent // DESCRIPTION.block
FACTS: dict[str, Any] = {"size": DESCRIPTION.size, "block": DESCRIPTION.block, "extent": DESCRIPTION.extent}
STEP = 0.2


def bitmaps(*names: str) -> dict[str, IntentBitmap]:
    return {name: bitmap(DESCRIPTION) for name in names}


class FromSource:
    """A source of which beta is a target in the stream; what it did is in ``done``."""

    def __init__(self) -> None:
        alpha = record(**FACTS, generation="g1")
        intent = ActivityLog(-(-BLOCKS // PER_EXTENT), (), 1)
        self.stalled = 0.0
        self.core = Source(DESCRIPTION, "alpha", alpha, bitmaps("beta", "gamma"), intent, 7, lambda: "a2")
        self.view = self.core.views["beta"]
        self.done: list[Any] = []
        self.now = 1.0
        self.hello()
        self.say(Ready(self.view.epoch))
        assert self.view.in_stream

    def hello(self) -> None:
        self.say(hello(DESCRIPTION, epoch=self.view.epoch))

    def say(self, message: Any) -> None:
        self.core.on_message("beta", message, self.now)
        self.perform()

    def perform(self) -> None:
        while self.core.actions:
            action = self.core.actions.pop(0)
            self.done.append(action)
            if isinstance(action, Commit):
                self.core.commits.committed(action.number, self.now)

    def write(self) -> None:
        """One more write in the stream that beta has to confirm."""
        self.core.stream.intend(0, 4096, 4096)

    def let_pass(self, seconds: float, message: Any = None) -> None:
        """Let time pass; ``message`` gives what beta says now and then, if anything."""
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            if message is not None:
                self.say(message(self.now))
            self.core.tick(self.now, wall=self.now, stalled=self.stalled)
            self.perform()

    def state(self) -> TargetState:
        return self.view.state

    def events(self, *names: str) -> list[str]:
        return [action.name for action in self.done if isinstance(action, Event) and action.name in names]


def stalled_since(start: float, by_loop: bool) -> Any:
    """What beta says from ``start`` on: its loop waits, or only a worker does."""
    if by_loop:
        return lambda now: Stalled("beta", now - start)
    return lambda now: Alive(epoch=1, session=7, state="Resyncing", stalled=now - start)


@pytest.mark.parametrize("by_loop", [True, False])
def test_a_target_whose_store_stands_still_stays_until_it_has_done_so_for_too_long(by_loop: bool) -> None:
    source = FromSource()
    source.write()
    start = source.now
    source.let_pass(9.6, stalled_since(start, by_loop))  # far more than 4 times the peer timeout
    assert source.view.in_stream
    assert source.view.stall.seconds(source.now) == pytest.approx(9.6)
    assert source.events("store_stalled", "store_moves_again") == ["store_stalled"]
    source.let_pass(0.6, stalled_since(start, by_loop))
    assert source.view.state == "Behind"
    assert "stalled for more than 10 s" in (source.view.reason or "")
    detached = [action.message for action in source.done if isinstance(action, Send) and action.peer == "beta"]
    assert [message.code for message in detached if isinstance(message, Evict)] == ["StoreStalled"]


def test_a_target_that_says_nothing_is_gone_after_the_peer_timeout() -> None:
    source = FromSource()
    source.write()
    source.let_pass(1.4)
    assert source.view.state == "Disconnected"


def test_a_target_that_confirms_nothing_and_does_not_say_why_is_put_out_as_before() -> None:
    source = FromSource()
    source.write()
    source.let_pass(4.8, lambda _: Alive(epoch=1, session=7, state="Resyncing"))
    assert source.view.state == "Behind"
    assert "confirms nothing" in (source.view.reason or "")


def test_a_target_whose_store_moves_again_has_time_to_confirm() -> None:
    source = FromSource()
    source.write()
    source.let_pass(9.0, stalled_since(source.now, True))
    source.let_pass(3.0, lambda _: Alive(epoch=1, session=7, state="Resyncing"))
    assert source.view.in_stream
    assert source.view.stall.seconds(source.now) is None
    assert source.events("store_stalled", "store_moves_again") == ["store_stalled", "store_moves_again"]


def test_a_target_whose_loop_waits_for_too_long_is_silent_in_the_end() -> None:
    source = FromSource()
    start = source.now
    source.let_pass(20.0, stalled_since(start, True))
    assert source.view.state == "Disconnected"
    assert source.view.stall.seconds(source.now) is None


def test_a_target_does_not_come_back_before_its_store_moves() -> None:
    source = FromSource()
    start = source.now
    source.let_pass(11.0, stalled_since(start, False))
    source.hello()
    assert source.state() == "Behind"
    source.say(Alive(epoch=0, session=0, state="Behind"))
    source.hello()
    assert source.state() == "Connecting"


def test_what_a_node_says_that_is_not_connected_counts_for_nothing() -> None:
    source = FromSource()
    source.let_pass(2.0)
    source.say(Stalled("beta", 1.0))
    assert source.view.state == "Disconnected"
    assert source.view.stall.seconds(source.now) is None


def test_a_source_tells_its_targets_that_its_own_store_stands_still() -> None:
    source = FromSource()
    source.stalled = 3.0
    source.done.clear()
    source.let_pass(0.4, lambda _: Alive(epoch=1, session=7, state="Resyncing"))
    told = [action.message for action in source.done if isinstance(action, Send) and action.peer == "beta"]
    assert 3.0 in [message.stalled for message in told if isinstance(message, Alive)]


class FromTarget(Beta):
    """A target that follows alpha."""

    def __init__(self) -> None:
        super().__init__(DESCRIPTION)
        self.enter()
        assert self.core.following.in_stream

    def events(self) -> list[Event]:
        """Return what it reports, and carry out what else it asks for."""
        return [action for action in self.perform() if isinstance(action, Event)]

    def let_pass(self, seconds: float, message: Any = None) -> list[Any]:
        done = []
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            if message is not None:
                self.say(message(self.now))
            self.core.tick(self.now, stalled=self.stalled)
            done += self.perform()
        return done


def test_a_source_whose_store_stands_still_is_not_gone_until_it_has_done_so_for_too_long() -> None:
    target = FromTarget()
    start = target.now
    target.let_pass(9.6, lambda now: Stalled("alpha", now - start))
    assert target.core.following.in_stream
    assert target.core.copy(target.now).hears == "alpha"
    assert target.core.following.source.stall.seconds(target.now) == pytest.approx(9.6)
    target.let_pass(2.0, lambda now: Stalled("alpha", now - start))
    assert target.core.state == "Disconnected"
    assert target.core.following.source.stall.seconds(target.now) is None


def test_the_word_of_another_node_does_not_keep_the_source_alive() -> None:
    target = FromTarget()
    for _ in range(7):
        target.now += STEP
        target.say(Stalled("gamma", 1.0), "gamma")
        target.core.tick(target.now, stalled=0.0)
    assert target.core.state == "Disconnected"


def test_a_source_whose_loop_lives_is_not_gone_however_long_its_store_stands_still() -> None:
    target = FromTarget()
    start = target.now
    target.let_pass(20.0, lambda now: Alive(epoch=5, session=7, state="Resyncing", stalled=now - start))
    assert target.core.following.in_stream


def test_a_target_tells_its_source_that_its_own_store_stands_still() -> None:
    target = FromTarget()
    target.stalled = 2.5
    done = target.let_pass(0.4)
    told = [action.message for action in done if isinstance(action, Send)]
    assert 2.5 in [message.stalled for message in told if isinstance(message, Alive)]
