"""When a source begins a new generation, and who has to know before a write is answered (R7)."""

from __future__ import annotations

from dkrepl.core.actions import Commit, PublishGeneration
from dkrepl.core.lineage.peer_records import record_of
from dkrepl.core.protocol.messages import Bye
from tests.unit.core.source.alpha import PAGE, Alpha
from tests.unit.core.source.started import IN_SYNC


def in_sync() -> Alpha:
    """Return alpha, with beta in sync; commits are ended by the test."""
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.get_in_sync()
    alpha.holds = True
    assert not alpha.core.write_admission.admit(0, PAGE)
    alpha.core.commits.plan(alpha.now)
    alpha.perform()
    return alpha


def test_without_a_target_there_is_nobody_to_be_told() -> None:
    alpha = Alpha()
    alpha.write()
    assert alpha.core.generation == "b2"
    assert not alpha.asked_for(PublishGeneration)
    assert alpha.answered() == [1]


def test_after_a_target_has_left_a_write_is_answered_once_the_others_remember_the_generation() -> None:
    alpha = Alpha(peers={"beta": IN_SYNC, "gamma": IN_SYNC})
    alpha.get_in_sync("beta")
    alpha.get_in_sync("gamma")
    alpha.say(Bye("gamma"), "gamma")
    seq = alpha.write()
    [published] = alpha.asked_for(PublishGeneration)
    assert (published.generation, published.members) == ("b2", {"beta": True})
    alpha.ack(applied=seq, durable=published.seq - 1, resync_applied=1, resync_durable=1)
    assert alpha.answered() == []
    alpha.ack(applied=seq, durable=published.seq, resync_applied=1, resync_durable=1)
    assert alpha.answered() == [1]
    assert record_of(alpha.core.metadata, "beta").base == ("b2",)


def test_one_that_is_still_being_copied_to_has_no_part_in_it() -> None:
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.view().bitmap.mark(0, 1)
    alpha.enter()
    seq = alpha.write()
    [published] = alpha.asked_for(PublishGeneration)
    assert published.members == {}
    alpha.ack(applied=seq, durable=seq)
    beta = record_of(alpha.core.metadata, "beta")
    assert (beta.generations, beta.base) == (("b2",), ("b1",))


def test_if_one_leaves_while_it_is_recorded_another_one_is_needed() -> None:
    alpha = in_sync()
    alpha.say(Bye("beta"), "beta")
    for action in alpha.asked_for(Commit)[-2:]:
        alpha.core.commits.committed(action.number, alpha.now)
    assert alpha.core.generation == "b2"
    assert alpha.core.new_generation.needed
    assert not alpha.core.write_admission.admit(0, PAGE)
