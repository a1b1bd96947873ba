"""What an ack of a target changes, and which one cannot be true."""

from __future__ import annotations

from typing import Any

import pytest

from dkrepl.core.protocol.frames import Ack
from dkrepl.core.protocol.messages import Evict
from tests.unit.core.source.alpha import PAGE, Alpha
from tests.unit.core.source.started import IN_SYNC, SESSION


def in_sync() -> Alpha:
    """Return alpha, with beta in sync, which lacks one write."""
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.get_in_sync()
    alpha.write()
    alpha.done.clear()
    return alpha


def test_an_ack_of_who_is_no_node_of_the_mirror_counts_for_nothing() -> None:
    alpha = in_sync()
    alpha.core.acks.on_ack("delta", Ack(6, SESSION, 0, 0, 0, 0), alpha.now)
    assert alpha.perform() == []


@pytest.mark.parametrize("fields", [{"epoch": 5}, {"session": 8}])
def test_an_ack_of_another_epoch_or_session_counts_for_nothing(fields: dict[str, Any]) -> None:
    alpha = in_sync()
    alpha.ack(applied=2, durable=2, **fields)
    assert alpha.view().applied == 0


@pytest.mark.parametrize(
    "ack",
    [
        {"applied": 99, "durable": 0},
        {"applied": 1, "durable": 2},
        {"applied": 2, "durable": 1, "resync_applied": 1, "resync_durable": 2},
    ],
)
def test_an_ack_that_cannot_be_true_evicts(ack: dict[str, Any]) -> None:
    alpha = in_sync()
    alpha.ack(**ack)
    assert [message.code for message in alpha.sent(Evict, "beta")] == ["BadAck"]
    assert alpha.answered() == []


def test_an_ack_that_takes_back_what_was_confirmed_evicts() -> None:
    alpha = in_sync()
    alpha.ack(applied=2, durable=2)
    alpha.ack(applied=1, durable=1)
    assert [message.code for message in alpha.sent(Evict, "beta")] == ["BadAck"]


def test_a_target_that_applied_a_write_after_a_lost_message_of_the_resync_begins_anew() -> None:
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.view().bitmap.mark(2, 4)
    alpha.enter()
    alpha.write()
    alpha.core.resync_order.sent(alpha.member(), 2, 4, data_bytes=PAGE)
    seq = alpha.write()
    alpha.ack(applied=seq)
    assert [message.code for message in alpha.sent(Evict, "beta")] == ["Gap"]
