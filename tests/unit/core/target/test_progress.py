"""When a target flushes its store, and when it acknowledges (R3)."""

from __future__ import annotations

import msgspec
import pytest

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.actions import Commit, FlushStore, SendAck
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.messages import Evict
from dkrepl.errors import LocalProtocolError
from tests.unit.core.target.beta import DESCRIPTION, Beta, copied, flush, marker, write
from tests.unit.greetings import welcome


def entered(mode: str = "sync", limits: Limits = DEFAULT, to_copy: int = 0) -> Beta:
    """Return beta in the stream; its flushes are ended by the test."""
    nodes = [msgspec.structs.replace(node, mode=mode) if node.name == "beta" else node for node in DESCRIPTION.nodes]
    beta = Beta(msgspec.structs.replace(DESCRIPTION, nodes=nodes), limits)
    beta.enter(to_copy)
    beta.holds = True
    beta.done.clear()
    return beta


def acks(beta: Beta) -> list[tuple[int, int]]:
    """Return (applied, durable) of what it has acknowledged."""
    return [(action.ack.applied, action.ack.durable) for action in beta.asked_for(SendAck)]


def flushes(beta: Beta) -> list[int]:
    """Return the numbers of the flushes that it has begun."""
    return [action.number for action in beta.asked_for(FlushStore)]


def flushed(beta: Beta, number: int) -> None:
    """Let a flush end."""
    beta.core.store_flushed(number, beta.now)
    beta.perform()


def test_nothing_is_applied_after_a_flush_of_the_stream_until_it_is_durable() -> None:
    beta = entered()
    beta.stream(write(1))
    beta.stream(flush(2))
    assert beta.core.stream.blocked
    flushed(beta, *flushes(beta))
    assert not beta.core.stream.blocked
    assert beta.core.progress.durable_seq == 2
    assert acks(beta)[-1] == (2, 2)


def test_a_flush_that_began_before_the_barrier_is_not_enough_for_it() -> None:
    beta = entered()
    beta.stream(write(1))
    beta.let_pass(DEFAULT.flush_seconds)
    [first] = flushes(beta)
    beta.stream(flush(2))
    flushed(beta, first)
    assert beta.core.stream.blocked
    assert beta.core.progress.durable_seq == 1
    flushed(beta, flushes(beta)[-1])
    assert not beta.core.stream.blocked


def test_without_flushes_in_the_stream_the_store_is_flushed_now_and_then() -> None:
    beta = entered()
    beta.let_pass(DEFAULT.flush_seconds)
    assert flushes(beta) == [], "nothing is unflushed"
    beta.stream(write(1))
    beta.now += 2 * DEFAULT.flush_seconds
    beta.let_pass(0.0)
    beta.let_pass(0.0)
    assert len(flushes(beta)) == 1


@pytest.mark.parametrize("limits", [Limits(flush_bytes=4096), Limits(flush_resync_messages=1)])
def test_it_is_flushed_at_once_if_much_is_not(limits: Limits) -> None:
    beta = entered(limits=limits, to_copy=9)
    beta.stream(copied(1))
    beta.let_pass(0.0)
    flushed(beta, *flushes(beta))
    beta.stream(copied(2))
    beta.let_pass(0.0)
    assert len(flushes(beta)) == 2


def test_a_flush_that_has_not_reached_its_limits_waits() -> None:
    beta = entered()
    beta.stream(flush(1))
    flushed(beta, *flushes(beta))
    beta.stream(write(2))
    beta.let_pass(DEFAULT.flush_seconds / 2)
    assert len(flushes(beta)) == 1


def test_a_flush_of_a_stream_that_it_has_left_makes_nothing_durable() -> None:
    beta = entered()
    beta.stream(flush(1))
    beta.say(Evict(5, "WindowFull", "too slow", 1.0))
    flushed(beta, *flushes(beta))
    assert beta.core.progress.durable_seq == 0
    assert acks(beta) == [(1, 0)]


def test_a_flush_that_nobody_began_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError, match="flush 999"):
        entered().core.store_flushed(999, 1.0)
    with pytest.raises(LocalProtocolError, match="flush 999"):
        entered().core.store_flush_failed(999, "Input/output error", 1.0)


def test_a_failed_flush_makes_the_copy_inconsistent() -> None:
    beta = entered()
    beta.stream(flush(1))
    [number] = flushes(beta)
    beta.core.store_flush_failed(number, "Input/output error", beta.now)
    assert beta.core.state == "Behind"
    assert beta.core.metadata.store_state == "Inconsistent"


def test_a_failed_flush_is_reported() -> None:
    beta = entered()
    beta.stream(flush(1))
    [number] = flushes(beta)
    beta.core.store_flush_failed(number, "Input/output error", beta.now)
    beta.perform()
    assert "store_failed" in beta.reported()


def test_the_end_of_a_resync_is_acknowledged_as_durable_once_it_is_recorded() -> None:
    beta = entered()
    beta.stream(marker(frames.SYNCED, 1))
    beta.core.committed(beta.asked_for(Commit)[-1].number, beta.now)
    beta.core.step(beta.now)
    beta.perform()
    assert [action.ack.resync_durable for action in beta.asked_for(SendAck)] == [1]


def test_what_was_acknowledged_in_an_earlier_epoch_is_acknowledged_anew() -> None:
    beta = entered()
    beta.holds = False
    beta.stream(flush(1))
    assert acks(beta)[-1] == (1, 1)
    beta.say(Evict(5, "WindowFull", "too slow", 1.0))
    beta.say(welcome(DESCRIPTION, epoch=6))
    beta.stream(marker(frames.START, position=1, epoch=6))
    assert [action.ack.epoch for action in beta.asked_for(SendAck)][-1] == 6


def test_a_sync_target_acknowledges_at_once_and_again_in_case_the_ack_was_lost() -> None:
    beta = entered()
    beta.stream(write(1))
    assert acks(beta) == [(1, 0)]
    beta.let_pass(0.1)
    assert acks(beta) == [(1, 0)], "nothing has changed"
    beta.let_pass(DESCRIPTION.peer_timeout / 4)
    assert len(acks(beta)) == 2


def test_an_async_target_acknowledges_in_batches() -> None:
    beta = entered("async")
    beta.now += 1
    beta.stream(write(1))
    beta.done.clear()
    beta.stream(write(2))
    assert acks(beta) == []
    beta.let_pass(DEFAULT.ack_seconds)
    assert acks(beta) == [(2, 0)]


def test_but_not_when_its_window_fills() -> None:
    beta = entered("async", Limits(ack_window_part=1 << 30))
    beta.now += 1
    beta.stream(write(1))
    beta.stream(write(2))
    assert [ack[0] for ack in acks(beta)] == [1, 2]
