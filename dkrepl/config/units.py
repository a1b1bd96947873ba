"""Sizes, rates and durations: how people write them and how they are shown.

Reading is strict, because a size misread by a factor is a mirror of the wrong size: units are binary and
spelt exactly (``64KiB`` or ``64K``); ``64KB`` is refused, as half of its readers take it for 64000.
Every reader raises ValueError whose text goes on from "<key> is <value>, but ".
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from fractions import Fraction

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
LARGEST_SIZE = (1 << 63) - 1
"""What a file offset of Linux can say, in bytes."""

_SIZES = {"B": 1, "K": KIB, "KiB": KIB, "M": MIB, "MiB": MIB, "G": GIB, "GiB": GIB, "T": TIB, "TiB": TIB}
_SECONDS = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "min": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
}
_NUMBER_AND_UNIT = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,9})?) ?([A-Za-z/]{0,8})", re.ASCII)
_LONGEST_DURATION = 10 * 365 * 86400.0


def parse_size(value: object) -> int:
    """Return the bytes that a whole number of bytes or a text such as "64KiB" names, from 0 to 2**63 - 1.

    Raises ValueError for anything else, with what to write instead.
    """
    expected = 'it must be a size such as "64KiB", "1GiB" or a whole number of bytes'
    if isinstance(value, int) and not isinstance(value, bool):
        return _bounded(value, expected)
    number, unit = _split(value, expected)
    if unit == "" and number == 0:
        return 0
    if unit not in _SIZES:
        raise ValueError(f"{expected}{_hint(value, number, unit)}")
    size = number * _SIZES[unit]
    if size.denominator != 1:
        raise ValueError(f"{expected}, and that is not a whole number of bytes")
    return _bounded(int(size), expected)


def parse_rate(value: object) -> int:
    """Return the bytes per second of a text such as "100MiB/s" or a number; 0 means no limit.

    Raises ValueError for anything else.
    """
    expected = 'it must be a rate such as "100MiB/s", or 0 for no limit'
    if isinstance(value, int) and not isinstance(value, bool):
        return _bounded(value, expected)
    number, unit = _split(value, expected)
    if number == 0 and unit in ("", "/s"):
        return 0
    if not unit.endswith("/s"):
        raise ValueError(f'{expected} (write "/s" at the end)')
    unit = unit.removesuffix("/s")
    if unit not in _SIZES:
        raise ValueError(f"{expected}{_hint(value, number, unit, '/s')}")
    return _bounded(math.ceil(number * _SIZES[unit]), expected)


def parse_duration(value: object) -> float:
    """Return the seconds of a text such as "500ms", "5s", "10m", "2h", "1d" or of a number of seconds.

    From 0 to ten years. Raises ValueError for anything else.
    """
    expected = 'it must be a duration such as "500ms", "5s", "10m" or "2h"'
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value) if abs(value) < _LONGEST_DURATION else math.inf
    else:
        number, unit = _split(value, expected)
        if unit and unit not in _SECONDS:
            raise ValueError(expected)
        seconds = float(number * _SECONDS[unit or "s"])
    if not 0 <= seconds <= _LONGEST_DURATION:  # also refuses nan
        raise ValueError(f"{expected}, at most ten years")
    return seconds


def exact_size(size: int) -> str:
    """Return bytes as parse_size reads them back without loss: "64KiB", "1536MiB", "4097B"."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _SIZES[unit] == 0:
            return f"{size // _SIZES[unit]}{unit}"
    return f"{size}B"


def format_size(size: float) -> str:
    """Return bytes for people, three digits or so: "0 B", "64 KiB", "1.5 GiB"."""
    for unit, one, smaller in (("TiB", TIB, GIB), ("GiB", GIB, MIB), ("MiB", MIB, KIB), ("KiB", KIB, 1)):
        if abs(size) >= one - smaller / 2:  # from here on it would be rounded up to 1024 of the smaller unit
            amount = size / one
            digits = 0 if amount >= 100 or amount == int(amount) else 1
            return f"{amount:.{digits}f} {unit}"
    return f"{size:.0f} B"


def format_count(number: int, noun: str, more: str = "") -> str:
    """Return how many there are: "1 write", "2 writes"; ``more`` is the plural where an s is not enough."""
    return f"{number} {noun if number == 1 else more or noun + 's'}"


def format_rate(rate: float) -> str:
    """Return bytes per second for people: "12.5 MiB/s"."""
    return f"{format_size(rate)}/s"


def format_duration(seconds: float) -> str:
    """Return seconds for people: "0 s", "4 ms", "2.5 s", "3 min 20 s", "2 h 5 min", "4 d 3 h"."""
    if seconds < 0.0005:
        return "0 s"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for large, big, small, little in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= big:
            rest = whole % big // little
            return f"{whole // big} {large} {rest} {small}" if rest else f"{whole // big} {large}"
    raise AssertionError("every duration of a minute or more has a unit")


def format_time(unix: float) -> str:
    """Return a moment, given in Unix seconds, to the second: ``2026-11-27 16:21:20 UTC``."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _split(value: object, expected: str) -> tuple[Fraction, str]:
    """Return the number and the unit of a text; raises ValueError if it has no such form."""
    match = _NUMBER_AND_UNIT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(expected)
    return Fraction(match[1]), match[2]


def _hint(value: object, number: Fraction, unit: str, tail: str = "") -> str:
    """Return what to write instead of a unit that is nearly right."""
    if unit == "":
        return f' (a number in quotes needs a unit: "{value}B" or "{value}KiB")'
    letter = unit[0].upper()
    if letter in "KMGT" and unit[1:].lower() in ("", "b", "ib", "i"):
        shown = str(value).strip()[: -len(unit + tail)].rstrip()
        return f' (write {letter}iB: "{shown}{letter}iB{tail}")'
    return f' (not "{unit}{tail}")'


def _bounded(size: int, expected: str) -> int:
    if not 0 <= size <= LARGEST_SIZE:
        raise ValueError(f"{expected}, from 0 to 2**63 - 1")
    return size
