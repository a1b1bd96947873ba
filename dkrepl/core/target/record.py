"""A target's metadata: the newest, the newest that is durable, and the commits between the two."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from dkrepl.core.actions import Commit, TargetAction
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.outbox import Outbox
from dkrepl.core.target.source_view import Place
from dkrepl.errors import LocalProtocolError

Purpose = Literal[
    "joined",  # a Welcome is accepted: its epoch, before anything of it is applied
    "inconsistent",  # before the first block of a resync, or after the store failed (R6, R15)
    "synced",  # a resync has ended
    "generation",  # the source began a new one
    "tracked",  # what the bitmap for another node is worth
    "saved",  # the blocks that only this node has are in a file
    "split brain",  # found, and not resolved yet
    "former",  # enough nodes know the present description
    "yields",  # an administrator said that this node gives way to another
    "voted",  # for a candidate
    "vote withdrawn",  # the candidate was never elected
    "stood",  # this node asks for votes
]


class Waiting(NamedTuple):
    """A commit on its way. ``place``: the place in the stream up to which it makes the store durable, if it does."""

    purpose: Purpose
    metadata: NodeMetadata
    place: Place | None


ABOUT_VOTES: frozenset[Purpose] = frozenset(("voted", "vote withdrawn", "stood"))


class TargetRecord:
    """Keeps the metadata of a target and the commits of it that are on their way, and says when they hold.

    ``metadata`` is the newest, ``durable`` the newest on stable storage.
    """

    def __init__(self, metadata: NodeMetadata, out: Outbox[TargetAction], retry: float) -> None:
        self.metadata = metadata
        self.durable = metadata
        self.error: str | None = None  # why the last commit failed
        self._out = out
        self._retry = retry  # seconds after which a verdict that could not be recorded is recorded again
        self._number = 0
        self._waiting: dict[int, Waiting] = {}
        self._owed_at: float | None = None  # when to try again to record that this copy is Inconsistent

    @property
    def waiting(self) -> bool:
        """Whether a commit is on its way."""
        return bool(self._waiting)

    def waits_for(self, purpose: Purpose) -> bool:
        """Whether a commit of that purpose is on its way."""
        return any(one.purpose == purpose for one in self._waiting.values())

    def commit(self, purpose: Purpose, metadata: NodeMetadata, place: Place | None = None) -> int:
        """Begin to make ``metadata`` durable; it is the newest from now on. Returns the commit's number.

        ``place``: where the target is in the stream, if the store is to be flushed before.
        """
        self._number += 1
        self.metadata = metadata
        self._waiting[self._number] = Waiting(purpose, metadata, place)
        self._out.add(Commit(self._number, place is not None, sync_bitmaps=purpose == "synced", metadata=metadata))
        return self._number

    def committed(self, number: int) -> Waiting:
        """A commit is durable; return it. Raises ``LocalProtocolError`` if there was none."""
        waiting = self._take(number)
        self.durable, self.error = waiting.metadata, None
        if waiting.purpose == "synced" or self.durable.store_state == "Inconsistent":
            self._owed_at = None  # what was owed is recorded, or no longer so
        if not self._waiting and self._owed_at is None:
            self.metadata = self.durable  # also if one before it failed, for this one includes what that was about
        return waiting

    def failed(self, number: int, why: str, now: float) -> Purpose:
        """A commit failed; return what it was for. Raises ``LocalProtocolError`` if there was none.

        The durable record holds again (R6), except that a copy which is Inconsistent stays so, and is recorded as such
        as soon as that is possible (R15).
        """
        purpose = self._take(number).purpose
        unsound = self._owed_at is not None or self.metadata.store_state == "Inconsistent" != self.durable.store_state
        self.metadata = self.durable
        if unsound:
            self.metadata = msgspec.structs.replace(self.metadata, store_state="Inconsistent")
            self._owed_at = now + self._retry
        self.error = why
        return purpose

    def tick(self, now: float) -> None:
        """Let time pass: record what is owed."""
        if self._owed_at is not None and now >= self._owed_at and not self._waiting:
            self._owed_at = None
            self.commit("inconsistent", msgspec.structs.replace(self.durable, store_state="Inconsistent"))

    def _take(self, number: int) -> Waiting:
        if number not in self._waiting:
            raise LocalProtocolError(f"commit {number} of a target has ended, and none of that number is on its way")
        return self._waiting.pop(number)
