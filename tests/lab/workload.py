"""A load whose answered writes are known: they must be found again, wherever the source is by then (R4)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tests.lab.pages import PAGE, TORN, compared, compared_in

if TYPE_CHECKING:
    from tests.lab.node import Node

_BITS = 32  # for the numbers of one load
_loads = itertools.count(1)


class Area(NamedTuple):
    """A part of the device, in bytes."""

    first: int
    length: int

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.first + self.length


def first_number() -> int:
    """Return the number behind which a load numbers its writes: no two loads of a run write the same page."""
    return next(_loads) << _BITS


class Missing(NamedTuple):
    """A page that lacks a write that was answered; ``seen`` is the number of an older one that is there."""

    place: int
    number: int
    seen: int

    def __str__(self) -> str:
        """Say what is there instead."""
        what = "parts of two writes, or of none," if self.seen == TORN else f"write {self.seen}"
        return f"{self.place}: {what} where write {self.number} was answered"


class Account:
    """What was asked for and answered, page by page, by the offset of the page."""

    def __init__(self, page: int = PAGE) -> None:
        self.page = page
        self.answered: dict[int, int] = {}  # place -> the newest write that was answered
        self.touched: set[int] = set()  # places of every write that was begun
        self.count = 0  # writes that were answered

    def fills(self, number: int, area: Area) -> None:
        """All pages of an area were written and answered, as one write."""
        places = range(area.first, area.end, self.page)
        self.begins(places)
        self.answers(number, places)

    def begins(self, places: Iterable[int]) -> None:
        """A write to these pages is asked for."""
        self.touched.update(places)

    def answers(self, number: int, places: Iterable[int]) -> None:
        """A write is answered."""
        for place in places:
            self.answered[place] = number
        self.count += 1

    def blocks(self, block: int) -> set[int]:
        """Return the numbers of the blocks that were written, or may have been."""
        return {place // block for place in self.touched}

    def written(self, unit: int) -> int:
        """Return the bytes of these blocks."""
        return len(self.blocks(unit)) * unit

    def missing(self, read: Callable[[int], bytes]) -> list[Missing]:
        """Return what is not found where ``read`` gives the page at an offset. A later write may be there."""
        return self.lacking(compared(read, self.wanted()))

    def missing_in(self, path: Path, settles: bool = False) -> list[Missing]:
        """Return what a store, a device or a copy of one lacks.

        ``settles``: a later write that is found counts as answered from here on.
        """
        found = list(compared_in(str(path), self.wanted(), self.page))
        if settles:
            self.answered.update({place: seen for place, number, seen in found if seen > number})
        return self.lacking(found)

    @staticmethod
    def lacking(found: Iterable[tuple[int, int, int]]) -> list[Missing]:
        """Return what is missing by what was seen: (place, number, the number seen there)."""
        return [Missing(*one) for one in found if one[2] < one[1]]

    def wanted(self) -> list[tuple[int, int]]:
        """Return (place, number) of what must be found."""
        assert self.answered, "nothing was answered, so nothing can be looked for"
        return sorted(self.answered.items())


class Writes(Protocol):
    """What an application has written on the device of a node."""

    def written(self, unit: int) -> int:
        """Return the bytes of all blocks of ``unit`` bytes that were written, or may have been."""
        ...

    def missing_on(self, node: Node) -> list[Missing]:
        """Return what was answered and a node lacks: on its device if it is source, else in its copy."""
        ...

    def missing_aside(self, node: Node) -> list[Missing]:
        """Return what was answered and is not in what a node saved aside before it gave way to another."""
        ...


class Load(Writes, Protocol):
    """An application that writes until it is told to stop."""

    @property
    def errors(self) -> int:
        """Writes that failed; 0 if the application noticed nothing."""
        ...

    def wait_for_more(self, writes: int) -> None:
        """Wait until so many more writes are answered."""
        ...

    def stop(self) -> None:
        """Let what is on its way be answered, or fail, and write no more."""
        ...
