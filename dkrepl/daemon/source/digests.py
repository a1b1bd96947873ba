"""Who waits for the checksum that a target sends in a verify."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from dkrepl.core.protocol.messages import Digest


class Digests:
    """Hands each checksum to the verify that asked for it."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: dict[tuple[str, int], Callable[[str], None]] = {}

    def expect(self, target: str, then: Callable[[str], None]) -> int:
        """Return the number for a marker DIGEST to ``target``; ``then`` is called with the checksum that answers it."""
        number = next(self._numbers)
        self._waiting[target, number] = then
        return number

    def forget(self, target: str, number: int) -> None:
        """Nobody waits for this one any more."""
        self._waiting.pop((target, number), None)

    def came(self, target: str, message: Digest) -> None:
        """A checksum has come; one that nobody waits for is dropped."""
        if (then := self._waiting.pop((target, message.number), None)) is not None:
            then(message.checksum)
