"""The rate that a resync keeps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dkrepl.core.source.rate_limit import RateLimit


@given(st.integers(1, 10**9), st.lists(st.tuples(st.floats(0.0, 2.0), st.integers(0, 10**6)), max_size=40))
def test_no_more_is_sent_than_the_rate_allows(rate: int, steps: list[tuple[float, int]]) -> None:
    limit, now, spent, largest = RateLimit(rate), 0.0, 0, 0
    for wait, size in steps:
        now += wait
        delay = limit.delay(now)
        assert delay >= 0.0
        if delay == 0.0:
            limit.spend(size)
            spent += size
            largest = max(largest, size)
    assert spent <= rate * now + max(rate / 2, 1.0) + largest + 1


def test_without_a_limit_nothing_waits() -> None:
    limit = RateLimit(0)
    limit.spend(10**12)
    assert limit.delay(0.0) == 0.0
