"""What a target knows of the source's newest write once the source is gone."""

from __future__ import annotations

from typing import Any

from dkrepl.core.protocol.messages import Alive
from dkrepl.core.target.last_heard import LastHeard


def alive(at: float, seq: int, written: int, session: int = 7, **seen: Any) -> Alive:
    """``seen``: what the source shows of the target."""
    return Alive(epoch=1, session=session, at=at, seq=seq, written=written, **seen)


def test_nothing_is_shown_before_a_source_was_heard() -> None:
    assert LastHeard().shown(0) is None


def test_the_copy_is_complete_as_of_the_last_heartbeat_whose_writes_have_all_arrived() -> None:
    heard = LastHeard()
    heard.began(7, 100, 5000)
    for at, seq, written in ((1000.0, 100, 5000), (1001.0, 103, 8000), (1002.0, 110, 15000)):
        heard.heard(alive(at, seq, written), 100, in_sync=True, consistent=True)
    assert (heard.as_of, heard.at) == (1000.0, 1002.0)
    heard.applied_bytes += 4000
    assert heard.shown(105) == {
        "at": 1002.0,
        "seq": 110,
        "in_sync": True,
        "in_sync_as_of": 1001.0,
        "missing_bytes": 6000,
    }
    heard.advance(110)
    assert heard.as_of == 1002.0


def test_a_copy_in_the_middle_of_a_resync_is_of_no_time() -> None:
    heard = LastHeard()
    heard.began(7, 0, 0)
    heard.heard(alive(1000.0, 0, 0), 0, in_sync=True, consistent=True)
    heard.began(7, 5, 100)
    heard.resync_began()
    heard.heard(alive(1001.0, 5, 100, state="Resyncing", lag_bytes=4096, lag_seconds=1.0), 5, False, False)
    shown = heard.shown(5)
    assert shown is not None
    assert (shown["in_sync_as_of"], shown["missing_bytes"], shown["in_sync"]) == (None, 4096, False)


def test_a_copy_out_of_the_stream_goes_by_what_the_source_says_also_after_a_restart_of_either() -> None:
    heard = LastHeard()
    heard.heard(alive(2000.0, 3, 300, 9, state="Behind", lag_bytes=65536, lag_seconds=30.0), 0, False, True)
    shown = heard.shown(0)
    assert shown is not None
    assert (shown["in_sync_as_of"], shown["missing_bytes"]) == (1970.0, 65536)
    # how long it lacks something is not known to a source that was started since: what was known before stays
    heard.heard(alive(2001.0, 4, 400, 9, state="Behind", lag_bytes=131072), 0, False, True)
    assert (heard.as_of, heard.missing_bytes) == (1970.0, 131072)


def test_the_head_of_another_session_says_nothing_of_this_ones() -> None:
    heard = LastHeard()
    heard.began(7, 10, 1000)
    heard.heard(alive(1000.0, 10, 1000), 10, True, True)
    heard.heard(alive(1001.0, 99, 9999, session=8), 10, False, True)
    assert (heard.head, heard.head_bytes) == (10, 1000)


def test_heartbeats_of_a_source_far_ahead_take_bounded_memory_and_lose_nothing_but_precision() -> None:
    heard = LastHeard()
    heard.began(7, 0, 0)
    for n in range(5000):
        heard.heard(alive(1000.0 + n, n, n), 0, True, True)
    assert len(heard._waited) <= 1200
    heard.advance(5000)
    assert 1000.0 < heard.as_of <= 5999.0
