"""What a source tells its targets now and then: how far they are, and how far the others are (R8)."""

from __future__ import annotations

from dkrepl.core.protocol.messages import Alive, Positions
from tests.unit.core.source.alpha import Alpha
from tests.unit.core.source.started import IN_SYNC


def test_each_target_in_sync_is_told_how_far_the_other_is_until_that_changes_no_more() -> None:
    alpha = Alpha(peers={"beta": IN_SYNC, "gamma": IN_SYNC})
    alpha.get_in_sync("beta")
    alpha.core.heartbeat.send_positions()
    assert alpha.perform() == [], "there is no other"
    alpha.get_in_sync("gamma")
    alpha.core.heartbeat.send_positions()
    alpha.core.heartbeat.send_positions()
    alpha.perform()
    epochs = {peer: alpha.view(peer).epoch for peer in ("beta", "gamma")}
    assert alpha.sent(Positions, "beta") == [Positions(epochs["beta"], "b1", {"gamma": (epochs["gamma"], 0, False)})]
    assert alpha.sent(Positions, "gamma") == [Positions(epochs["gamma"], "b1", {"beta": (epochs["beta"], 0, True)})]


def test_that_is_said_again_with_the_heartbeat_in_case_the_target_could_not_take_it() -> None:
    alpha = Alpha(peers={"beta": IN_SYNC, "gamma": IN_SYNC})
    alpha.get_in_sync("beta")
    alpha.get_in_sync("gamma")
    for _ in range(2):
        alpha.let_pass(alpha.description.peer_timeout / 5)
    assert len(alpha.sent(Positions, "beta")) == 2


def test_one_to_which_blocks_are_copied_is_told_how_many_are_left() -> None:
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.view().bitmap.mark(0, 3)
    alpha.enter()
    alpha.let_pass(alpha.description.peer_timeout / 5)
    [told] = alpha.sent(Alive, "beta")
    block = alpha.description.block
    assert (told.state, told.dirty_bytes, told.total_bytes, told.rate) == ("Resyncing", 3 * block, 3 * block, 0.0)
