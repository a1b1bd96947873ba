"""Sizes, rates and durations: what is read, what is refused with which advice, how they are shown."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkrepl.config.units import (
    exact_size,
    format_count,
    format_duration,
    format_rate,
    format_size,
    parse_duration,
    parse_rate,
    parse_size,
)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (0, 0),
        (4096, 4096),
        ("0", 0),
        ("512B", 512),
        ("4K", 4096),
        ("4KiB", 4096),
        ("64 KiB", 65536),
        ("1.5MiB", 3 << 19),
        ("2G", 2 << 30),
        ("1TiB", 1 << 40),
    ],
)
def test_a_size_is_read_in_binary_units(written: object, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("64KB", 'write KiB: "64KiB"'),
        ("64kb", 'write KiB: "64KiB"'),
        ("64 k", 'write KiB: "64KiB"'),
        ("1Mb", 'write MiB: "1MiB"'),
        ("64", 'needs a unit: "64B"'),
        ("1.3B", "not a whole number of bytes"),
        ("9XiB", 'not "XiB"'),
        ("-4KiB", "it must be a size"),
        ("", "it must be a size"),
        ("٤KiB", "it must be a size"),
        (-1, "from 0 to 2**63 - 1"),
        (1 << 70, "from 0 to 2**63 - 1"),
        ("99999999999999999999T", "from 0 to 2**63 - 1"),
        (True, "it must be a size"),
        (1.5, "it must be a size"),
        ([], "it must be a size"),
        (None, "it must be a size"),
    ],
)
def test_a_size_that_could_be_misread_is_refused_with_what_to_write(written: object, advice: str) -> None:
    with pytest.raises(ValueError, match="it must be") as refusal:
        parse_size(written)
    assert advice in str(refusal.value)


def test_a_rate_is_bytes_per_second_and_zero_is_no_limit() -> None:
    assert parse_rate("100MiB/s") == 100 << 20
    assert parse_rate("0") == parse_rate(0) == parse_rate("0/s") == 0
    assert parse_rate(4096) == 4096
    assert parse_rate("0.5B/s") == 1  # a limit never turns into "no limit"


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("100MiB", '"/s"'),
        ("100MB/s", '"100MiB/s"'),
        ("fast", "it must be a rate"),
        (-5, "from 0"),
        ("5", '"/s"'),
    ],
)
def test_a_rate_in_other_units_is_refused(written: object, advice: str) -> None:
    with pytest.raises(ValueError, match="it must be") as refusal:
        parse_rate(written)
    assert advice in str(refusal.value)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("500ms", 0.5),
        ("5s", 5.0),
        ("5", 5.0),
        (2.5, 2.5),
        ("10m", 600.0),
        ("10min", 600.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
    ],
)
def test_a_duration_is_read_in_seconds(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written", ["5 weeks", "", "-1s", -1, float("nan"), float("inf"), 10**400, "99999999999d", None, False]
)
def test_a_duration_that_is_none_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="it must be a duration"):
        parse_duration(written)


@given(st.integers(min_value=0, max_value=(1 << 63) - 1))
def test_the_exact_form_of_a_size_is_read_back_without_loss(size: int) -> None:
    assert parse_size(exact_size(size)) == size


@given(st.text() | st.integers() | st.floats() | st.binary() | st.none())
def test_whatever_is_written_is_read_or_refused_and_nothing_else(written: object) -> None:
    for read in (parse_size, parse_rate, parse_duration):
        with suppress(ValueError):
            assert read(written) >= 0


def test_sizes_and_rates_are_shown_short() -> None:
    assert [format_size(n) for n in (0, 512, 65536, 3 << 19, 1 << 40, 150.4 * (1 << 20))] == [
        "0 B",
        "512 B",
        "64 KiB",
        "1.5 MiB",
        "1 TiB",
        "150 MiB",
    ]
    assert format_rate(12.5 * (1 << 20)) == "12.5 MiB/s"


@pytest.mark.parametrize(
    ("size", "shown"),
    [(1023.6, "1.0 KiB"), ((1 << 20) - 1, "1.0 MiB"), ((1 << 30) - 1, "1.0 GiB"), (1023.4 * (1 << 20), "1023 MiB")],
)
def test_a_size_is_never_rounded_up_to_1024_of_a_unit(size: float, shown: str) -> None:
    assert format_size(size) == shown


def test_durations_are_shown_in_at_most_two_units() -> None:
    shown = {
        0: "0 s",
        0.004: "4 ms",
        2.54: "2.5 s",
        42: "42 s",
        59.6: "1 min",
        200: "3 min 20 s",
        7500: "2 h 5 min",
        356400: "4 d 3 h",
    }
    assert {seconds: format_duration(seconds) for seconds in shown} == shown


def test_one_thing_is_not_many() -> None:
    assert [format_count(number, "write") for number in (0, 1, 2)] == ["0 writes", "1 write", "2 writes"]
    assert [format_count(number, "flush", "flushes") for number in (1, 3)] == ["1 flush", "3 flushes"]
