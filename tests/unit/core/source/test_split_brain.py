"""Split-brain: which other node is source, with what evidence (R7)."""

from __future__ import annotations

from dkrepl.core.source.split_brain import found
from tests.unit.greetings import answer
from tests.unit.records import record

RECORD = record(generation="g1")


def test_for_a_peer_that_is_not_source_no_bitmap_is_counted() -> None:
    """That takes milliseconds for each TiB, in the loop, as long as the peer is away."""
    assert found(RECORD, {}, [answer(generation="g0")]) == {}
