"""What a node remembers of its peers decides what is copied to them (R7, R8)."""

from __future__ import annotations

from dkrepl.core.lineage import peer_records
from dkrepl.core.lineage.generation import decide
from dkrepl.core.lineage.metadata import PeerRecord
from dkrepl.core.lineage.peer_records import record_of
from tests.unit.greetings import hello
from tests.unit.records import record

IN_SYNC = PeerRecord(epoch=5, offered=5, generations=("g3",), base=("g3",), tracked=True, merged=True)
BOTH = record(peers={"beta": IN_SYNC, "gamma": IN_SYNC})


def test_a_peer_that_was_never_in_sync_lacks_writes_of_a_generation_that_begins_beside_it() -> None:
    metadata = peer_records.with_base(record(peers={"beta": PeerRecord()}), {"beta": True}, "g4")
    assert not peer_records.has_all(record_of(metadata, "beta"), "g4")


def test_without_trust_in_its_bitmap_a_peer_is_copied_in_full_and_the_others_are_not() -> None:
    metadata = peer_records.untracked(BOTH, ["beta"])
    assert decide(metadata, hello(generation="g3"), dirty=False).code == "NotTracked"
    assert decide(metadata, hello(generation="g3", node="gamma"), dirty=False).code == "Clean"


def test_bits_that_were_made_durable_no_longer_end_the_tracking_at_a_loss_of_power() -> None:
    metadata = peer_records.loosened(BOTH)
    assert record_of(metadata, "beta").loose
    assert peer_records.fastened(metadata) == BOTH


def test_what_an_asynchronous_peer_may_lack_is_remembered_whatever_its_mode_becomes() -> None:
    alpha = peer_records.in_sync(record(generation="g1"), "beta", "g1", sync=False)
    alpha = peer_records.with_base(alpha, {"beta": True}, "g2")
    beta = record_of(alpha, "beta")
    assert not peer_records.has_all(beta, "g1")
    assert peer_records.has_all(beta, "g2")
    again = record_of(peer_records.in_sync(alpha, "beta", "g1", sync=True), "beta")
    assert peer_records.has_all(again, "g1")
