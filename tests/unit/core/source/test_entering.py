"""How a target enters the stream of a source, and why it does not (R2, R7, R8, R13)."""

from __future__ import annotations

from typing import Any

import pytest

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.actions import Commit, PublishMarker
from dkrepl.core.lineage.metadata import PeerRecord
from dkrepl.core.lineage.peer_records import record_of
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.messages import BitmapPart, Evict, Ready, Refuse, Welcome
from tests.unit.core.source.alpha import Alpha
from tests.unit.core.source.started import IN_SYNC
from tests.unit.greetings import hello

GIVES_WAY: dict[str, Any] = {"generation": "x1", "yields": "discard", "tracked": True, "follows": "alpha"}


def refusals(alpha: Alpha, peer: str = "beta") -> list[str]:
    """Return the codes with which ``peer`` was refused."""
    return [message.code for message in alpha.sent(Refuse, peer)]


def evictions(alpha: Alpha) -> list[str]:
    """Return the codes with which beta was evicted."""
    return [message.code for message in alpha.sent(Evict, "beta")]


def fill(alpha: Alpha) -> None:
    """Take all steps."""
    while alpha.core.entering.filling:
        alpha.core.entering.fill_step()
    alpha.perform()


# --- refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("peer", "name"), [("delta", "delta"), ("beta", "gamma")])
def test_who_is_no_node_of_the_mirror_or_calls_itself_another_is_refused(peer: str, name: str) -> None:
    alpha = Alpha()
    alpha.say(hello(alpha.description, node=name), peer)
    assert refusals(alpha, peer) == ["UnknownNode"]
    assert not alpha.asked_for(Commit)


@pytest.mark.parametrize(("versions", "code"), [((99, 99), "TooNew"), ((1, 1), "TooOld")])
def test_who_speaks_another_protocol_is_refused(versions: tuple[int, int], code: str) -> None:
    alpha = Alpha()
    alpha.hello(protocol_min=versions[0], protocol_max=versions[1])
    assert refusals(alpha) == [code]


def test_nobody_is_copied_to_from_a_store_that_failed_a_flush() -> None:
    alpha = Alpha(store_failed="Input/output error")
    alpha.hello()
    assert refusals(alpha) == ["SourceStoreError"]
    assert "dkrepl clear r0 store-failed on alpha" in (alpha.view().reason or "")


def test_both_having_written_is_a_split_brain_that_stays_known() -> None:
    alpha = Alpha(history=("a0",))
    for _ in range(2):
        alpha.hello(generation="x1", history=["a0"])
    assert refusals(alpha) == ["SplitBrain", "SplitBrain"]
    assert record_of(alpha.core.metadata, "beta").split_brain
    assert len(alpha.asked_for(Commit)) == 1
    assert alpha.reported().count("target_refused") == 1


def test_a_mirror_of_another_size_is_refused_and_that_is_no_split_brain() -> None:
    alpha = Alpha()
    alpha.hello(size=4096)
    assert refusals(alpha) == ["SizeDiffers"]
    alpha.hello(block=4096)
    assert refusals(alpha) == ["SizeDiffers", "BlockDiffers"]
    assert alpha.reported().count("target_state") == 1, "it was Refused before, for another reason"
    assert not record_of(alpha.core.metadata, "beta").split_brain


def test_a_node_whose_description_differs_where_it_matters_is_refused() -> None:
    alpha = Alpha()
    alpha.hello(terms={"min_copies": "3"})
    assert refusals(alpha) == ["DescriptionsDiffer"]


def test_a_difference_that_does_not_matter_is_reported_once() -> None:
    alpha = Alpha()
    alpha.hello(advisory="other")
    alpha.now += 100
    alpha.hello(advisory="other")
    assert alpha.view().advisory_differs
    assert alpha.reported().count("descriptions_differ") == 1


# --- welcomed -----------------------------------------------------------------------------------------------


def test_a_hello_that_crossed_the_welcome_is_answered_by_the_same_welcome() -> None:
    alpha = Alpha()
    alpha.hello(epoch=5)
    first = alpha.view().epoch
    alpha.hello(epoch=5)
    assert [message.epoch for message in alpha.sent(Welcome, "beta")] == [first, first]


def test_a_hello_while_the_epoch_is_recorded_is_not_answered_twice() -> None:
    alpha = Alpha()
    alpha.holds = True
    alpha.hello(epoch=5)
    alpha.hello(epoch=5)
    assert not alpha.sent(Welcome, "beta")
    assert len(alpha.asked_for(Commit)) == 1


def test_one_that_connects_anew_leaves_the_stream_first() -> None:
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.get_in_sync()
    before = alpha.view().epoch
    alpha.hello(epoch=before)
    assert (alpha.view().state, alpha.view().member) == ("Connecting", None)
    assert alpha.view().epoch > before


def test_the_probe_is_repeated_more_and_more_rarely_until_it_is_answered() -> None:
    alpha = Alpha()
    alpha.hello()
    waits = []
    for _ in range(3):
        before = len(alpha.asked_for(PublishMarker))
        start = alpha.now
        while len(alpha.asked_for(PublishMarker)) == before:
            alpha.let_pass(0.01)
        waits.append(alpha.now - start)
    assert waits[0] < waits[1] < waits[2]
    alpha.say(Ready(alpha.view().epoch), "beta")
    assert [one.op for one in alpha.done if isinstance(one, PublishMarker)][-1] == frames.START
    alpha.done.clear()
    alpha.let_pass(2.0)
    assert not alpha.asked_for(PublishMarker)


@pytest.mark.parametrize("ready", [Ready(1), Ready(99)])
def test_ready_of_another_epoch_lets_nobody_in(ready: Ready) -> None:
    alpha = Alpha()
    alpha.hello(epoch=5)
    alpha.say(ready, "beta")
    assert alpha.view().state == "Connecting"


def test_ready_before_the_welcome_lets_nobody_in() -> None:
    alpha = Alpha()
    alpha.say(Ready(0), "beta")
    alpha.holds = True
    alpha.hello()
    alpha.say(Ready(alpha.view().epoch), "beta")
    assert alpha.view().state == "Connecting"
    assert len(alpha.asked_for(Commit)) == 1


# --- what it has written alone ------------------------------------------------------------------------------


def giving_way() -> Alpha:
    """Return alpha, to which beta gives way: it has written two blocks alone."""
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.hello(dirty_blocks=2, epoch=5, **GIVES_WAY)
    assert alpha.view().state == "Connecting", alpha.view().reason
    return alpha


def test_what_it_wrote_alone_is_copied_over() -> None:
    alpha = giving_way()
    epoch = alpha.view().epoch
    alpha.say(BitmapPart(epoch - 1, 0, b"\xff"), "beta")
    alpha.say(BitmapPart(epoch, 8, b"\x03"), "beta")
    alpha.say(Ready(epoch, 2), "beta")
    assert alpha.view().state == "Resyncing"
    assert list(alpha.view().bitmap.runs()) == [(8, 10)]


def test_a_bitmap_of_another_size_evicts_it() -> None:
    alpha = giving_way()
    alpha.say(BitmapPart(alpha.view().epoch, alpha.description.blocks, b"\xff"), "beta")
    assert evictions(alpha) == ["BadBitmap"]
    assert alpha.view().state == "Behind"


def test_if_parts_of_its_bitmap_are_lost_each_time_all_of_it_is_copied() -> None:
    alpha = giving_way()
    for lost in range(DEFAULT.bitmaps_lost):
        if lost:
            alpha.now += 100
            alpha.hello(dirty_blocks=2, epoch=alpha.view().epoch, **GIVES_WAY)
        alpha.say(Ready(alpha.view().epoch, 2), "beta")
    assert evictions(alpha) == ["BitmapLost"] * (DEFAULT.bitmaps_lost - 1)
    assert "peer_bitmap_lost" in alpha.reported()
    fill(alpha)
    assert alpha.view().state == "Resyncing"
    assert alpha.view().bitmap.count() == alpha.description.blocks


# --- a full resync (R13, R15) -------------------------------------------------------------------------------


def new_target() -> Alpha:
    """Return alpha, which fills the bitmap of beta, a new target, in several steps."""
    alpha = Alpha(limits=Limits(fill_pieces=1, piece_shift=12))
    alpha.hello(mirror_id="", generation="", epoch=0, follows="", store_state="Empty")
    assert alpha.core.entering.filling
    return alpha


def test_a_new_target_is_welcomed_once_every_block_is_marked() -> None:
    alpha = new_target()
    alpha.core.entering.fill_step()
    alpha.perform()
    assert not alpha.asked_for(Commit)
    fill(alpha)
    assert alpha.sent(Welcome, "beta")
    assert alpha.view().bitmap.count() == alpha.description.blocks


def test_one_that_left_while_its_bitmap_was_filled_is_not_welcomed() -> None:
    alpha = new_target()
    alpha.core.disconnected("beta", "its connection is gone", alpha.now)
    fill(alpha)
    assert not alpha.asked_for(Commit)
    assert not alpha.sent(Welcome, "beta")


def test_a_full_resync_that_was_asked_for_before_a_restart_is_carried_out() -> None:
    alpha = Alpha(peers={"beta": PeerRecord(epoch=5, offered=5, base=("b1",), tracked=True, merged=True, full=True)})
    view = alpha.enter(epoch=5)
    assert view.resync is not None
    assert (view.state, view.resync.kind) == ("Resyncing", "full")
    assert not record_of(alpha.core.metadata, "beta").full, "it has begun"


# --- what cannot be recorded --------------------------------------------------------------------------------


def test_an_epoch_that_cannot_be_recorded_is_not_offered() -> None:
    alpha = Alpha()
    alpha.holds = True
    [commit] = [action for action in alpha.hello() if isinstance(action, Commit)]
    assert not alpha.core.commits.failed(commit.number, "no space left", alpha.now)
    alpha.perform()
    assert evictions(alpha) == ["SourceMetadata"]
    assert not alpha.sent(Welcome, "beta")


@pytest.mark.parametrize("well", [True, False])
def test_an_epoch_that_is_over_when_it_is_recorded_is_not_offered(well: bool) -> None:
    alpha = Alpha()
    alpha.holds = True
    [commit] = [action for action in alpha.hello() if isinstance(action, Commit)]
    alpha.core.disconnected("beta", "its connection is gone", alpha.now)
    if well:
        alpha.core.commits.committed(commit.number, alpha.now)
    else:
        alpha.core.commits.failed(commit.number, "no space left", alpha.now)
    alpha.perform()
    assert not alpha.sent(Welcome, "beta")
    assert not evictions(alpha)
