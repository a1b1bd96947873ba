"""Waiting ends with the state that was waited for, or says what was seen last."""

from __future__ import annotations

import itertools

import pytest

from tests.lab.waiting import wait_for


class Time:
    """A clock that goes on by what is rested."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def rest(self, seconds: float) -> None:
        self.seconds += seconds


def test_what_is_wanted_is_returned_as_soon_as_it_is_seen() -> None:
    clock, count = Time(), itertools.count()
    assert wait_for(lambda: next(count), lambda seen: seen == 3, "three", 10.0, 1.0, clock) == 3
    assert clock.seconds == 3.0


def test_a_state_that_never_comes_is_named_with_what_was_seen_last() -> None:
    with pytest.raises(AssertionError, match="not within 2 s: the moon; seen last: 'clouds'"):
        wait_for(lambda: "clouds", lambda seen: seen == "moon", "the moon", 2.0, 1.0, Time())


def test_a_state_that_comes_during_the_last_pause_is_seen() -> None:
    clock = Time()
    assert wait_for(clock.now, lambda seconds: seconds > 2.0, "late", 2.0, 5.0, clock) == 5.0
