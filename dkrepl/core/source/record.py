"""A source's metadata, the commits on their way, and what each of them is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dkrepl.core.actions import Commit, SourceAction
from dkrepl.core.lineage.generation import Decision
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol.messages import Hello
from dkrepl.errors import LocalProtocolError


@dataclass(frozen=True)
class Offer:
    """A target is welcomed under ``epoch`` once that is recorded (R7)."""

    name: str
    epoch: int
    hello: Hello
    decision: Decision


@dataclass(frozen=True)
class Admission:
    """A target enters the stream under ``epoch`` once that is recorded (R2)."""

    name: str
    epoch: int


Purpose = Literal["facts", "store verdict", "activity", "generation"] | Offer | Admission


class SourceRecord:
    """``metadata`` is the newest; it may be on its way to stable storage. Commits are appended to ``actions``."""

    def __init__(self, metadata: NodeMetadata, actions: list[SourceAction]) -> None:
        self.metadata = metadata
        self.error: str | None = None
        """Why the newest commit that has ended failed, if so."""
        self.names_failed_store = bool(metadata.store_failed)
        """Whether the record on stable storage says that a flush of the store failed; False if that is not certain."""
        self._actions = actions
        self._number = 0
        self._waiting: dict[int, tuple[Purpose, NodeMetadata | None]] = {}

    @property
    def newest(self) -> int:
        """The number of the newest commit."""
        return self._number

    def ended(self, number: int) -> bool:
        """Whether every commit up to ``number`` has ended, well or not."""
        return all(waiting > number for waiting in self._waiting)

    def waits_for(self, purpose: Purpose) -> bool:
        """Whether a commit of that purpose is on its way."""
        return any(purpose == waiting for waiting, _ in self._waiting.values())

    def set(self, metadata: NodeMetadata) -> int:
        """Record ``metadata``; return the number of the commit."""
        self.metadata = metadata
        return self.commit("facts")

    def commit(
        self,
        purpose: Purpose,
        *,
        sync_store: bool = False,
        sync_bitmaps: bool = False,
        active: tuple[int, frozenset[int]] | None = None,
    ) -> int:
        """Begin a commit; return its number. Every one but "activity" records the metadata as they are now."""
        self._number += 1
        metadata = None if purpose == "activity" else self.metadata
        self._waiting[self._number] = purpose, metadata
        self._actions.append(Commit(self._number, sync_store, sync_bitmaps, active, metadata))
        return self._number

    def committed(self, number: int) -> Purpose:
        """A commit is durable; return what it was for. Raises ``LocalProtocolError`` if there was none."""
        purpose, metadata = self._take(number)
        self.error = None
        if metadata is not None:
            self.names_failed_store = bool(metadata.store_failed)
        return purpose

    def failed(self, number: int, why: str) -> Purpose:
        """A commit failed; return what it was for. Raises ``LocalProtocolError`` if there was none."""
        purpose, metadata = self._take(number)
        self.error = why
        if metadata is not None and not metadata.store_failed:
            self.names_failed_store = False  # it may be on the disk all the same
        return purpose

    def _take(self, number: int) -> tuple[Purpose, NodeMetadata | None]:
        if number not in self._waiting:
            raise LocalProtocolError(f"commit {number} of a source has ended, and none of that number is on its way")
        return self._waiting.pop(number)
