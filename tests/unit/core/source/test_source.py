"""What a source records of its targets, and when it lets nobody in."""

from __future__ import annotations

import msgspec
import pytest

from dkrepl.config.description import Description
from dkrepl.config.terms import Terms
from dkrepl.core.actions import Commit, QuorumChanged, Send
from dkrepl.core.lineage.role_records import as_source
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.frames import Ack
from dkrepl.core.protocol.messages import PROTOCOL_MAX, Alive, Bye, Evict, Hello, Ready, Refuse, Trouble, Welcome
from dkrepl.core.source.source import Source
from dkrepl.core.states import TargetState
from tests.unit.core.source.alpha import Alpha, described
from tests.unit.core.source.started import DESCRIPTION, IN_SYNC, SESSION, commit, new_record, started
from tests.unit.greetings import hello

TWO_COPIES = msgspec.structs.replace(DESCRIPTION, min_copies=2)
SYNC_NODES = tuple(msgspec.structs.replace(node, mode="sync") for node in DESCRIPTION.nodes)


def hello_of_beta(description: Description = DESCRIPTION) -> Hello:
    return hello(description, size=DESCRIPTION.size, block=DESCRIPTION.block, generation="b1")


def too_new() -> Hello:
    """Return the Hello of a beta that speaks a protocol of the future."""
    return msgspec.structs.replace(hello_of_beta(), protocol_min=PROTOCOL_MAX + 1, protocol_max=PROTOCOL_MAX + 1)


def state_of_beta(source: Source) -> TargetState:
    return source.views["beta"].state


def former_terms(source: Source) -> tuple[Terms, ...]:
    return source.metadata.former


def welcomed(source: Source) -> bool:
    return any(isinstance(action, Send) and isinstance(action.message, Welcome) for action in source.actions)


def test_a_source_that_says_goodbye_starts_no_epoch_any_more() -> None:
    """The next source takes over only if the epoch that the source has recorded of it was its last."""
    source = started(new_record())
    source.ending.begin(1.0, changes_role=True)
    source.last_flush_ended(source.stream.log.seq, None, 1.0)
    source.ending.go_on(1.0)
    source.actions.clear()
    source.on_message("beta", hello_of_beta(), 1.0)
    assert not source.actions


def test_a_source_lets_a_target_in_until_it_says_goodbye() -> None:
    source = started(new_record())
    source.ending.begin(1.0, changes_role=True)
    source.on_message("beta", hello_of_beta(), 1.0)
    assert [action for action in source.actions if isinstance(action, Commit)]
    assert source.views["beta"].epoch == 6


def test_a_target_that_was_in_sync_counts_as_a_copy_after_a_restart() -> None:
    record = new_record(peers={"beta": IN_SYNC})
    assert started(record, TWO_COPIES).quorum.flushed


def test_a_target_whose_resync_was_cut_short_does_not_count_as_a_copy_after_a_restart() -> None:
    """It calls its copy Inconsistent, even if nothing was left to copy, and nobody would promote it (R4)."""
    source = started(new_record(peers={"beta": IN_SYNC}), TWO_COPIES)
    source.on_message("beta", hello_of_beta(TWO_COPIES), 1.0)
    commit(source)
    source.on_message("beta", Ready(6, 0), 1.0)
    commit(source)
    assert state_of_beta(source) == "Resyncing"
    assert not started(source.metadata, TWO_COPIES).quorum.flushed

    ack = Ack(epoch=6, session=SESSION, applied=0, durable=0, resync_applied=1, resync_durable=1)
    source.acks.on_ack("beta", ack, 1.1)
    assert state_of_beta(source) == "InSync", source.views["beta"].reason
    assert started(source.metadata, TWO_COPIES).quorum.flushed


@pytest.mark.parametrize(("code", "counts"), [("StoreError", False), ("Gap", True)])
def test_a_target_whose_store_failed_counts_as_a_copy_no_more(code: str, counts: bool) -> None:
    """It calls its copy Inconsistent, even if all was durable before: now, and after a restart of the source (R4)."""
    alpha = Alpha(TWO_COPIES, peers={"beta": IN_SYNC})
    alpha.get_in_sync()
    alpha.say(Trouble(alpha.view().epoch, code, "Input/output error"), "beta")
    assert alpha.core.quorum.lost
    assert alpha.core.quorum.flushed is counts
    recorded = [one.metadata for one in alpha.asked_for(Commit) if one.metadata is not None]
    assert started(recorded[-1], TWO_COPIES).quorum.flushed is counts


def test_nor_does_one_that_calls_its_copy_inconsistent_when_it_comes_back() -> None:
    """Even if it is refused for another reason: its store has failed while it was away (R4)."""
    alpha = Alpha(TWO_COPIES, peers={"beta": IN_SYNC})
    assert alpha.core.quorum.flushed
    alpha.hello(store_state="Inconsistent", terms={"size": "1"})
    assert alpha.view().state == "Refused"
    assert not alpha.core.quorum.flushed
    begun = alpha.core.record.newest
    alpha.hello(store_state="Inconsistent", terms={"size": "1"})
    assert alpha.core.record.newest == begun, "it is recorded once"
    assert not started(alpha.core.metadata, TWO_COPIES).quorum.flushed


@pytest.mark.parametrize("dirty_blocks", [0, 3])
def test_a_target_to_which_blocks_are_copied_does_not_count_until_that_has_ended(dirty_blocks: int) -> None:
    """From the first block on it calls its copy Inconsistent; if nothing is to be copied, it is as it was (R4)."""
    alpha = Alpha(TWO_COPIES, peers={"beta": IN_SYNC})
    alpha.view().bitmap.mark(0, dirty_blocks)
    alpha.enter()
    assert alpha.view().state == "Resyncing"
    assert alpha.core.quorum.flushed is (not dirty_blocks)


def test_nor_does_it_if_others_were_too_few_already() -> None:
    three = msgspec.structs.replace(TWO_COPIES, nodes=SYNC_NODES, min_copies=3)
    alpha = Alpha(three, peers={"beta": IN_SYNC, "gamma": IN_SYNC})
    alpha.get_in_sync("beta")
    alpha.get_in_sync("gamma")
    alpha.core.disconnected("gamma", "its connection is gone", alpha.now)
    assert alpha.core.quorum.flushed
    alpha.say(Trouble(alpha.view().epoch, "StoreError", "Input/output error"), "beta")
    assert not alpha.core.quorum.flushed


def test_no_copy_counts_for_a_new_source_that_was_not_in_sync_with_it() -> None:
    """What the former source has completed need not be on its stable storage; another may be in a resync (R4)."""
    record = new_record(follows="beta", peers={"beta": IN_SYNC, "gamma": IN_SYNC})
    two = msgspec.structs.replace(TWO_COPIES, nodes=SYNC_NODES)
    assert started(record, two).quorum.flushed
    assert not started(as_source(record, "", Ballot(1, "alpha")), two).quorum.flushed


def test_nothing_is_copied_to_a_target_that_was_welcomed_before_a_flush_of_the_store_failed() -> None:
    """It may have the better copy, so it must not be let into the stream when its epoch is recorded (R15)."""
    source = started(new_record())
    source.on_message("beta", hello_of_beta(), 1.0)
    source.store_verdict.flush_failed("Input/output error", 1.0)
    assert state_of_beta(source) == "Behind"
    commit(source)
    assert not welcomed(source)
    source.on_message("beta", Ready(6, 0), 1.1)
    commit(source)
    assert not source.stream.members


def test_a_target_that_is_paused_stays_so_whatever_protocol_it_speaks() -> None:
    source = started(new_record())
    source.targets.pause("beta", 1.0)
    source.actions.clear()
    source.on_message("beta", too_new(), 1.0)
    assert state_of_beta(source) == "Paused"
    answers = [one.message for one in source.actions if isinstance(one, Send)]
    assert [answer.code for answer in answers if isinstance(answer, Refuse)] == ["Paused"]


def test_a_resync_that_is_asked_for_lets_nobody_in_who_was_refused() -> None:
    """It comes back by its next Hello, and not by a command (R10)."""
    source = started(new_record())
    source.on_message("beta", too_new(), 1.0)
    assert state_of_beta(source) == "Refused"
    source.targets.resync("beta", full=False, now=1.0)
    assert state_of_beta(source) == "Refused"


def test_a_description_is_adopted_only_if_those_that_do_not_know_it_are_too_few() -> None:
    """Else they could promote one of themselves by the old one, without the newest writes (R14)."""
    old = {"min_copies": "2", "node alpha": "sync", "node beta": "sync", "node gamma": "sync", "node delta": "sync"}
    source = started(new_record(agreed=old))
    assert source.known_terms.missing() == ["beta", "delta", "gamma"]
    assert former_terms(source) == (old,)
    assert source.known_terms.missing("delta") == []
    assert former_terms(source) == (old,), "to ask changes nothing"
    source.known_terms.known_by("delta")
    assert former_terms(source) == ()


# --- what waits --------------------------------------------------------------------------------------


def test_what_waits_for_copies_fails_when_the_device_goes() -> None:
    alpha = Alpha(TWO_COPIES)
    alpha.core.fail_waiting()
    assert alpha.perform() == [QuorumChanged()]
    assert alpha.core.quorum.refusing


def test_one_whose_window_is_full_leaves_the_stream() -> None:
    alpha = Alpha(described(gamma={"async_limit": 2}), peers={"gamma": IN_SYNC})
    alpha.get_in_sync("gamma")
    alpha.write()
    alpha.core.drop_overfull(alpha.now)
    assert alpha.view("gamma").in_stream
    alpha.write()
    alpha.core.drop_overfull(alpha.now)
    alpha.perform()
    assert [message.code for message in alpha.sent(Evict, "gamma")] == ["WindowFull"]


# --- messages ----------------------------------------------------------------------------------------


def in_sync() -> Alpha:
    """Return alpha, with beta in sync, which lacks one write."""
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.get_in_sync()
    alpha.write()
    alpha.done.clear()
    return alpha


def test_who_is_no_node_of_the_mirror_says_nothing() -> None:
    alpha = in_sync()
    assert alpha.say(Bye("beta"), "delta") == []


def test_a_target_in_trouble_leaves_the_stream_and_that_is_reported() -> None:
    alpha = in_sync()
    alpha.say(Trouble(5, "Gap", "of an earlier epoch"), "beta")
    assert alpha.view().state == "InSync"
    alpha.say(Trouble(6, "Gap", "writes are missing"), "beta")
    assert (alpha.view().state, alpha.view().reason) == ("Behind", "writes are missing")
    assert "target_trouble" in alpha.reported()


def test_one_that_believes_to_be_in_the_stream_and_is_not_is_told_so() -> None:
    alpha = Alpha()
    alpha.say(Alive(epoch=5, session=SESSION), "beta")
    assert [message.code for message in alpha.sent(Evict, "beta")] == ["NotJoined"]


def test_older_terms_are_given_up_although_there_are_still_too_few_copies() -> None:
    old = {"min_copies": "2", "node alpha": "sync", "node beta": "sync", "node gamma": "sync", "node delta": "sync"}
    alpha = Alpha(TWO_COPIES, agreed=old)
    assert alpha.core.known_terms.known_by("delta") is not None
    assert not alpha.core.metadata.former
    assert alpha.core.quorum.lost
    assert "quorum_regained" not in alpha.reported()
