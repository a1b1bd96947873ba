"""How a target comes to follow a source, and why it does not (R7, R11, R14)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.actions import Commit, Connect, SaveDiverged, Send
from dkrepl.core.lineage.metadata import PeerRecord
from dkrepl.core.lineage.peer_records import record_of
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import BitmapPart, Hello, Ready, Refuse, Trouble
from tests.unit.core.target.beta import DESCRIPTION, Beta, copied, marker
from tests.unit.greetings import welcome

ASKS = msgspec.structs.replace(DESCRIPTION, on_diverged="ask")


def diverged(description: Any = DESCRIPTION, **facts: Any) -> Beta:
    """Return beta, which has written a block that alpha lacks."""
    beta = Beta(description, **facts)
    beta.core.peer_bitmaps.bitmaps["alpha"].mark(3, 4)
    return beta


# --- refused ------------------------------------------------------------------------------------------------


def test_one_that_is_paused_says_so_and_asks_again_later() -> None:
    beta = Beta()
    beta.say(Refuse("Paused", "beta is paused; resume it at the source", "alpha"))
    assert (beta.core.state, beta.core.following.reason) == ("Paused", "beta is paused; resume it at the source")
    beta.let_pass(DEFAULT.ask_again_seconds / 4)
    assert not beta.sent(Hello)
    beta.let_pass(DEFAULT.ask_again_seconds)
    assert len(beta.sent(Hello)) == 1


def test_one_that_is_refused_shows_the_sentence_and_the_code() -> None:
    beta = Beta()
    beta.say(Refuse("SizeDiffers", "the sizes differ", "alpha"))
    assert (beta.core.state, beta.core.following.reason) == ("Refused", "the sizes differ")
    assert beta.core.following.source.refusal == "SizeDiffers"


def test_the_source_that_refused_it_is_known() -> None:
    beta = Beta()
    beta.say(Refuse("SizeDiffers", "the sizes differ", "alpha"))
    assert beta.core.source == "alpha"


def test_a_split_brain_is_recorded_once() -> None:
    beta = Beta()
    for _ in range(2):
        beta.say(Refuse("SplitBrain", "both have written", "alpha"))
    assert record_of(beta.core.record.durable, "alpha").split_brain
    assert len(beta.asked_for(Commit)) == 1


def test_one_that_it_does_not_follow_cannot_refuse() -> None:
    beta = Beta()
    beta.get_in_sync()
    beta.say(Refuse("SizeDiffers", "the sizes differ", "gamma"), "gamma")
    assert beta.core.state == "InSync"


def test_a_stream_does_not_start_after_a_refusal() -> None:
    beta = Beta()
    beta.say(welcome(DESCRIPTION))
    beta.say(Refuse("Diverged", "no", "alpha"))
    beta.stream(marker(frames.START))
    assert not beta.core.following.in_stream
    assert beta.core.following.messages_refused == 1
    assert "message_refused" in beta.reported()


# --- welcomed -----------------------------------------------------------------------------------------------


def test_who_is_in_a_stream_takes_no_other_welcome() -> None:
    beta = Beta()
    beta.enter()
    assert beta.say(welcome(DESCRIPTION, epoch=9)) == []
    assert beta.core.following.epoch == 5


def test_an_epoch_that_is_over_is_not_entered_again() -> None:
    beta = Beta(epoch=5)
    assert beta.say(welcome(DESCRIPTION, epoch=5)) == []


def test_one_that_has_voted_for_another_node_does_not_follow_this_one() -> None:
    beta = Beta(promised=(Ballot(1, "gamma"),))
    assert beta.say(welcome(DESCRIPTION)) == []


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"protocol": 99}, "protocol 99"),
        ({"mirror_id": "m2"}, "offers another mirror"),
        ({"terms": {}}, "alpha"),
    ],
)
def test_a_source_that_it_may_not_follow_is_not_followed(fields: dict[str, Any], reason: str) -> None:
    beta = Beta()
    beta.say(welcome(DESCRIPTION, **fields))
    assert beta.core.state == "Refused"
    assert reason in str(beta.core.following.reason)
    assert not beta.asked_for(Commit)


KEEP = "run dkrepl resolve --keep alpha on beta"
ELECTED = Ballot(3, "beta")


@pytest.mark.parametrize(
    ("facts", "reason", "advice"),
    [
        ({"ballot": Ballot(3, "alpha")}, "newer election of alpha than alpha itself", ""),
        ({"ballot": ELECTED, "follows": "alpha"}, "newer election of alpha than alpha itself", ""),
        ({"promised": (Ballot(3, "gamma"),)}, "beta has voted for gamma", "start or reconnect gamma"),
        (
            {"ballot": Ballot(3, "gamma"), "follows": "gamma"},
            "beta has followed gamma, which was elected after alpha",
            "start or reconnect gamma",
        ),
        ({"ballot": Ballot(3, "gamma")}, "beta has followed gamma, which was elected after alpha", "reconnect gamma"),
        # After a switchover gamma serves under the ballot of the node that handed over to it.
        ({"ballot": ELECTED, "follows": "gamma"}, "beta has followed gamma, which was elected after alpha", "gamma"),
        (
            {"ballot": ELECTED},
            "beta was elected after alpha, which holds nothing that",
            "demote alpha and promote beta",
        ),
        ({"ballot": ELECTED, "generation": "g0"}, "which may hold writes that beta lacks; to keep them", ""),
        ({"ballot": ELECTED, "forced": ("NoQuorum",)}, "which may hold writes that beta lacks; to keep them", ""),
    ],
)
def test_a_source_that_was_elected_before_another_is_told_why_it_is_not_followed(
    facts: dict[str, Any], reason: str, advice: str
) -> None:
    beta = Beta(**facts)
    beta.now = 100.0  # its vote holds nobody back any more
    beta.say(welcome(DESCRIPTION))
    [told] = beta.sent(Trouble)
    assert told.code == "Elected"
    assert reason in told.text
    assert advice in told.text
    assert ("demote" in told.text) is ("demote" in advice), "only where it holds nothing more"
    assert told.text.endswith(KEEP)
    assert beta.core.state == "Refused"


def asks_again(beta: Beta) -> bool:
    """Return whether beta says Hello before the pause of one that is refused has passed."""
    beta.done.clear()
    beta.let_pass(DEFAULT.ask_again_seconds - 0.1)
    return bool(beta.sent(Hello))


def test_a_source_that_was_elected_before_another_is_not_asked_again_at_once() -> None:
    beta = Beta(ballot=Ballot(3, "alpha"))
    beta.say(welcome(DESCRIPTION))
    assert not asks_again(beta)


def test_an_administrator_may_have_it_follow_a_source_that_was_elected_before() -> None:
    beta = Beta(ballot=Ballot(3, "gamma"), yields_to="alpha", yields="discard")
    beta.say(welcome(DESCRIPTION))
    assert beta.asked_for(Connect)


# --- what only this node has --------------------------------------------------------------------------------


def test_what_only_it_has_is_named_to_the_source_before_it_is_ready() -> None:
    beta = diverged(yields_to="alpha", yields="discard")
    beta.say(welcome(DESCRIPTION))
    beta.stream(marker(frames.PROBE))
    assert not beta.sent(Ready), "the bitmap is not all sent yet"
    assert beta.core.goes_on
    beta.let_pass(0.0)
    assert [(part.first, part.bits[0]) for part in beta.sent(BitmapPart)] == [(0, 0b1000)]
    beta.stream(marker(frames.PROBE))
    assert [ready.dirty_blocks for ready in beta.sent(Ready)] == [1]


def test_a_large_bitmap_is_sent_in_several_rounds() -> None:
    limits = Limits(bitmap_part_bytes=8, bitmap_parts_a_round=2)
    beta = Beta(limits=limits, yields_to="alpha", yields="discard")
    beta.core.peer_bitmaps.bitmaps["alpha"].fill(1)
    beta.say(welcome(DESCRIPTION))
    beta.let_pass(0.0)
    assert len(beta.sent(BitmapPart)) == 2
    assert beta.core.goes_on


def test_what_only_it_has_is_saved_before_it_follows() -> None:
    beta = diverged()
    beta.say(welcome(DESCRIPTION))
    assert beta.asked_for(SaveDiverged) == [SaveDiverged("alpha")]
    assert beta.core.state == "Behind"
    assert beta.say(welcome(DESCRIPTION, epoch=6)) == [], "not yet"
    beta.let_pass(0.5)
    assert not beta.sent(Hello)
    beta.core.joining.diverged_saved("alpha", None, beta.now)
    beta.perform()
    beta.let_pass(0.1)
    assert beta.sent(Hello)
    beta.say(welcome(DESCRIPTION, epoch=7))
    assert beta.asked_for(Connect)


@pytest.mark.parametrize("description", [DESCRIPTION, ASKS])
def test_the_source_that_would_replace_it_is_known(description: Any) -> None:
    beta = diverged(description)
    beta.say(welcome(description))
    assert beta.core.source == "alpha"


def test_once_it_is_saved_the_source_is_asked_at_once() -> None:
    beta = diverged()
    beta.let_pass(0.0)
    beta.say(welcome(DESCRIPTION))
    beta.done.clear()
    beta.core.joining.diverged_saved("alpha", None, beta.now)
    beta.perform()
    beta.let_pass(0.0)
    assert beta.sent(Hello)


def test_while_it_cannot_be_saved_the_source_is_not_asked_again_at_once() -> None:
    beta = diverged()
    beta.say(welcome(DESCRIPTION))
    beta.core.joining.diverged_saved("alpha", "no space left", beta.now)
    assert not asks_again(beta)


def test_while_an_administrator_is_asked_the_source_is_not_asked_again_at_once() -> None:
    beta = diverged(ASKS)
    beta.say(welcome(ASKS))
    assert not asks_again(beta)


def test_what_is_copied_is_marked_for_another_target() -> None:
    beta = Beta(peers={"gamma": PeerRecord(tracked=True)})
    beta.enter(to_copy=1)
    beta.stream(copied(1))
    assert beta.core.peer_bitmaps.bitmaps["gamma"].count() == 1


def test_if_it_cannot_be_saved_it_is_not_replaced() -> None:
    beta = diverged()
    beta.say(welcome(DESCRIPTION))
    beta.core.joining.diverged_saved("alpha", "no space left", beta.now)
    assert (beta.core.state, beta.core.following.reason) == ("Refused", "no space left")


def test_an_administrator_is_asked_first_where_the_description_says_so() -> None:
    beta = diverged(ASKS)
    beta.say(welcome(ASKS))
    assert beta.core.state == "Refused"
    assert "dkrepl resolve --keep alpha on beta" in str(beta.core.following.reason)
    assert beta.core.following.source.refusal == "Diverged"
    assert not beta.asked_for(SaveDiverged)


@pytest.mark.parametrize(("mode", "saves"), [("keep", True), ("discard", False)])
def test_what_an_administrator_said_is_done(mode: Any, saves: bool) -> None:
    beta = diverged(ASKS)
    beta.core.joining.yield_to("alpha", mode)
    beta.perform()
    beta.say(welcome(ASKS))
    assert bool(beta.asked_for(SaveDiverged)) == saves
    assert bool(beta.asked_for(Connect)) != saves


def test_what_the_source_has_too_is_not_saved() -> None:
    beta = diverged(peers={"alpha": PeerRecord(base=("g1",), tracked=True)})
    beta.say(welcome(DESCRIPTION))
    assert beta.asked_for(Connect)
    assert not [action for action in beta.done if isinstance(action, Send) and action.peer == "gamma"]
