"""What a target takes from the stream, and when it leaves it (R3, R6, R9, R15)."""

from __future__ import annotations

from typing import Any

import pytest

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.actions import ReadDigest
from dkrepl.core.lineage.metadata import PeerRecord
from dkrepl.core.lineage.peer_records import record_of
from dkrepl.core.protocol import frames, members
from dkrepl.core.protocol.messages import Alive, Digest, Evict, Hello, Ready, Trouble
from tests.unit.core.target.beta import DESCRIPTION, Beta, copied, marker, message, write
from tests.unit.greetings import welcome

GENERATION = int("ab" * 8, 16)


def generation(seq: int, in_sync: dict[str, bool]) -> Any:
    """Return the record that a new generation begins, with those that are in sync then."""
    data = members.pack(in_sync)
    return message(frames.LIVE, seq, seq, (frames.GENERATION, len(data), GENERATION), data=data)


def resyncing(**facts: Any) -> Beta:
    """Return beta, to which blocks are being copied."""
    beta = Beta(**facts)
    beta.enter(to_copy=3)
    return beta


# --- which messages are for it ------------------------------------------------------------------------------


def test_nothing_is_taken_without_a_source() -> None:
    assert not Beta().stream(write(1))


def test_no_write_is_applied_before_the_stream_starts() -> None:
    beta = Beta()
    beta.say(welcome(DESCRIPTION))
    assert not beta.stream(write(1))
    assert not beta.stream(copied(1))
    assert not beta.stream(marker(frames.SYNCED, 1))


@pytest.mark.parametrize("stray", [write(1)._replace(session=8), copied(1)._replace(epoch=4)])
def test_a_message_of_another_session_or_epoch_is_ignored(stray: Any) -> None:
    beta = resyncing()
    assert not beta.stream(stray)
    assert beta.core.state == "Resyncing"


def test_how_far_it_is_counts_in_the_session_of_its_source() -> None:
    beta = Beta()
    beta.enter()
    beta.stream(write(1))
    copy = beta.core.copy(beta.now)
    assert (copy.session, copy.applied) == (7, 1)


def test_writes_are_applied_in_order_and_none_twice() -> None:
    beta = resyncing()
    assert beta.stream(write(1))
    assert not beta.stream(write(1))
    assert beta.stream(write(2))
    assert beta.core.following.applied == 2


def test_a_write_that_is_missing_ends_the_stream() -> None:
    beta = resyncing()
    assert not beta.stream(write(3))
    assert beta.core.state == "Behind"
    [trouble] = beta.sent(Trouble)
    assert (trouble.code, trouble.text) == ("Gap", "writes 1 to 2 of the stream are missing")


@pytest.mark.parametrize("stray", [copied(2), copied(1, position=4), marker(frames.SYNCED, 2)])
def test_a_message_of_the_resync_that_is_out_of_order_ends_the_stream(stray: Any) -> None:
    beta = resyncing()
    beta.stream(stray)
    assert beta.core.state == "Behind"
    assert [trouble.code for trouble in beta.sent(Trouble)] == ["Gap"]


def test_a_probe_is_answered_until_the_stream_starts() -> None:
    beta = Beta()
    beta.say(welcome(DESCRIPTION))
    beta.stream(marker(frames.PROBE))
    assert beta.sent(Ready) == [Ready(5)]
    beta.stream(marker(frames.START))
    beta.stream(marker(frames.PROBE))
    beta.stream(marker(frames.START))
    assert beta.sent(Ready) == [Ready(5)]
    assert beta.core.following.in_stream


# --- a resync -----------------------------------------------------------------------------------------------


def test_a_copy_in_the_middle_of_a_resync_is_recorded_as_inconsistent_before_a_block_comes() -> None:
    beta = Beta()
    beta.say(welcome(DESCRIPTION))
    beta.holds = True
    beta.stream(marker(frames.START, 3))
    assert beta.core.metadata.store_state == "Inconsistent"
    assert beta.core.stream.blocked


def test_a_copy_in_the_middle_of_a_resync_is_of_no_time() -> None:
    beta = Beta()
    beta.get_in_sync()
    beta.say(Alive(epoch=5, session=7, at=1000.0))
    assert beta.core.copy(beta.now).in_sync_as_of == 1000.0
    beta.say(Evict(5, "WindowFull", "too slow", 1.0))
    beta.say(welcome(DESCRIPTION, epoch=6))
    beta.stream(marker(frames.START, 3, epoch=6))
    assert beta.core.copy(beta.now).in_sync_as_of is None


def test_that_is_not_recorded_twice() -> None:
    beta = resyncing(store_state="Inconsistent")
    assert [metadata.store_state for metadata in beta.recorded()] == ["Inconsistent"], "the epoch's record"


def test_it_is_in_sync_once_everything_is_copied_and_that_is_recorded() -> None:
    beta = resyncing()
    assert beta.stream(copied(1))
    assert beta.core.following.resync_applied == 1
    beta.stream(marker(frames.SYNCED, 2, offset=GENERATION))
    assert beta.core.state == "InSync"
    metadata = beta.core.record.durable
    assert (metadata.store_state, metadata.generation, metadata.history) == ("Consistent", "ab" * 8, ("g1",))
    assert record_of(metadata, "alpha").base == ("ab" * 8,)


def test_it_is_not_in_sync_while_its_bitmap_for_the_source_is_cleared() -> None:
    beta = Beta(limits=Limits(fill_pieces=1, piece_shift=12), peers={"alpha": PeerRecord(saved=True)})
    bitmap = beta.core.peer_bitmaps.bitmaps["alpha"]
    bitmap.fill(1)
    beta.enter()
    while beta.core.goes_on:
        beta.let_pass(0.0)
    beta.stream(marker(frames.SYNCED, 1))
    assert beta.state() == "Resyncing"
    while beta.core.goes_on:
        beta.let_pass(0.0)
    assert beta.state() == "InSync"
    assert not bitmap.any()


def test_a_source_without_a_generation_leaves_the_record_as_it_is() -> None:
    beta = Beta(generation="", store_state="Empty")
    beta.get_in_sync()
    assert (beta.core.metadata.generation, beta.core.metadata.store_state) == ("", "Empty")


def test_the_first_generation_makes_an_empty_copy_a_consistent_one() -> None:
    beta = Beta(generation="", store_state="Empty", peers={"gamma": PeerRecord(base=("g0",))})
    beta.get_in_sync()
    beta.stream(generation(1, {"beta": True, "gamma": True}))
    metadata = beta.core.record.durable
    assert (metadata.generation, metadata.store_state) == ("ab" * 8, "Consistent")
    assert record_of(metadata, "gamma").base == ("g0", "ab" * 8)
    assert "beta" not in metadata.peers


def test_the_source_has_every_write_of_a_generation_that_it_begins() -> None:
    beta = Beta()
    beta.get_in_sync()
    beta.stream(generation(1, {}))
    assert record_of(beta.core.record.durable, "alpha").base == ("g1", "ab" * 8)


# --- what fails here ----------------------------------------------------------------------------------------


def test_a_bad_frame_ends_the_stream_and_is_nothing_outside_of_it() -> None:
    beta = Beta()
    beta.core.stream.bad_frame("its checksum is wrong", beta.now)
    assert beta.core.state == "Disconnected"
    beta.enter()
    beta.core.stream.bad_frame("its checksum is wrong", beta.now)
    beta.perform()
    assert (beta.core.state, beta.core.following.reason) == ("Behind", "its checksum is wrong")
    assert [trouble.code for trouble in beta.sent(Trouble)] == ["BadFrame"]


def test_a_connection_that_ends_outside_of_a_stream_is_no_break_of_it() -> None:
    beta = Beta()
    beta.say(welcome(DESCRIPTION))
    beta.core.stream.disconnected(beta.now)
    assert beta.core.state == "Connecting"


def test_one_whose_stream_breaks_is_behind_and_asks_again_at_once() -> None:
    beta = Beta()
    beta.get_in_sync()
    beta.core.stream.disconnected(beta.now)
    assert beta.core.state == "Behind"
    beta.let_pass(DEFAULT.hello_first_seconds)
    assert beta.sent(Hello)


def test_a_copy_whose_stream_broke_while_it_was_in_sync_may_be_all_that_was_answered() -> None:
    beta = Beta()
    beta.get_in_sync()
    beta.core.stream.disconnected(beta.now)
    beta.perform()
    assert beta.core.copy(beta.now).in_sync_when_lost
    beta.let_pass(DESCRIPTION.peer_timeout + 1)
    assert beta.core.state == "Disconnected"
    assert beta.core.copy(beta.now).in_sync_when_lost


# --- verify -------------------------------------------------------------------------------------------------


def asked_for_a_checksum() -> tuple[Beta, ReadDigest]:
    """Return beta, and the checksum that it takes for a verify."""
    beta = Beta()
    beta.get_in_sync()
    beta.stream(marker(frames.DIGEST, 4, length=8192, offset=4096))
    [digest] = beta.asked_for(ReadDigest)
    return beta, digest


def test_a_checksum_is_taken_before_anything_else_is_applied() -> None:
    beta, digest = asked_for_a_checksum()
    assert (digest.offset, digest.length) == (4096, 8192)
    assert beta.core.stream.blocked
    beta.core.stream.digest_read(digest, "ab" * 16, "", beta.now)
    beta.perform()
    assert not beta.core.stream.blocked
    assert beta.sent(Digest) == [Digest(5, 4, "ab" * 16)]


def test_a_checksum_that_cannot_be_read_is_a_failure_of_the_store_that_damaged_nothing() -> None:
    beta, digest = asked_for_a_checksum()
    beta.core.stream.digest_read(digest, None, "Input/output error", beta.now)
    beta.perform()
    assert beta.core.state == "Behind"
    assert beta.core.metadata.store_state == "Consistent"
    assert [trouble.code for trouble in beta.sent(Trouble)] == ["StoreError"]


def test_a_checksum_of_a_stream_that_it_has_left_is_told_to_nobody() -> None:
    beta, digest = asked_for_a_checksum()
    beta.say(Evict(5, "WindowFull", "too slow", 1.0))
    beta.core.stream.digest_read(digest, "ab" * 16, "", beta.now)
    beta.perform()
    assert not beta.sent(Digest)


def test_a_checksum_behind_a_lost_message_is_not_taken() -> None:
    """It would be of a state that the source had before: the copies would seem to differ (R10)."""
    beta = Beta()
    beta.get_in_sync()
    beta.stream(marker(frames.DIGEST, 4, position=1, length=8192, offset=4096))
    assert not beta.asked_for(ReadDigest)
    assert [trouble.code for trouble in beta.sent(Trouble)] == ["Gap"]


def test_a_question_for_a_checksum_that_comes_twice_is_answered_once() -> None:
    beta = Beta()
    beta.get_in_sync()
    beta.stream(write(1))
    beta.stream(marker(frames.DIGEST, 4, position=0, length=8192, offset=4096))
    assert not beta.asked_for(ReadDigest)
    assert beta.core.state == "InSync"
