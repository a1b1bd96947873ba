"""Which nodes know the present description, and so which older ones must still be satisfied (R14)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from dkrepl.config.terms import sync_nodes
from dkrepl.core.election.quorum import still_former
from dkrepl.core.source.record import SourceRecord
from dkrepl.core.source.write_quorum import WriteQuorum


class KnownTerms:
    """Notes which nodes know it, and drops older ones that need no longer be satisfied.

    ``quorum_changed()`` is called when the quorum is lost or regained by what becomes known.
    """

    def __init__(self, record: SourceRecord, quorum: WriteQuorum, quorum_changed: Callable[[], None]) -> None:
        self._record = record
        self._quorum = quorum
        self._quorum_changed = quorum_changed
        self._knowing: set[str] = set()  # who has recorded the present terms, or is declared fenced

    def missing(self, *fenced: str) -> list[str]:
        """Return the nodes of former terms that may not know the present ones; none if those that do are enough.

        ``fenced``: nodes to be counted as knowing them.
        """
        metadata = self._record.metadata
        known = {metadata.node, *self._knowing, *fenced}
        return sorted({n for terms in still_former(metadata, known) for n in sync_nodes(terms) if n not in known})

    def known_by(self, *names: str) -> int | None:
        """Note that the nodes ``names`` have recorded the present description, or are declared fenced.

        Returns the commit that records that a former one is no longer in force, None if none is needed.
        """
        self._knowing.update(names)
        former = still_former(self._record.metadata, self._knowing)
        if former == self._record.metadata.former:
            return None
        number = self._record.set(msgspec.structs.replace(self._record.metadata, former=former))
        self._quorum.must_satisfy(former)
        if self._quorum.changed():
            self._quorum_changed()
        return number
