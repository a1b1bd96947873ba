"""How many copies confirm a write before it completes: the source's own, and every sync target that is InSync.

The own copy of an asynchronous source counts only where ``min_copies`` is 1: the others, who may promote another node,
need not know that it was made source (R11, core/election/quorum.py).

With fewer than ``min_copies`` nothing that changes data is begun, and nothing that was begun completes (R4): it
waits, or fails under ``on_no_quorum = "error"``. Reads go on. With ``min_copies = 1`` there are always enough.

After a change of the description the *former* terms must be satisfied as well, until enough nodes know the new ones
(R14, core/election/quorum.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from dkrepl.config.description import Description
from dkrepl.core.election.quorum import satisfied
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.lineage.peer_records import has_all, record_of
from dkrepl.core.source.target_view import TargetView


class WriteQuorum:
    """Counts the copies of a write, and says whether they are enough.

    ``least``: ``min_copies``; ``fails``: whether writes fail, and do not wait, while there are too few.

    ``former``: terms of older descriptions that must be satisfied too; ``node``: the source; ``complete``: the targets
    that, as recorded when this source started, have every write completed so far, except what their bitmaps mark;
    ``source_is_sync``: only then its own copy counts.
    """

    __slots__ = ("_complete", "_former", "_own", "_views", "available", "fails", "least", "lost")

    def __init__(
        self,
        least: int,
        fails: bool,
        views: Collection[TargetView],
        former: Iterable[Mapping[str, str]] = (),
        node: str = "",
        complete: Collection[str] = (),
        source_is_sync: bool = True,
    ) -> None:
        self.least = least
        self.fails = fails
        self._own = {node} if source_is_sync or least == 1 else set()
        self.available = len(self._own)
        self.lost = False
        self._views = [view for view in views if view.mode == "sync"]
        self.must_satisfy(former)
        # Since there are too few: targets that have all that was written on stable storage.
        self._complete = {view.name for view in self._views if view.name in complete and not view.bitmap.any()}

    @classmethod
    def of(
        cls,
        description: Description,
        metadata: NodeMetadata,
        former: Iterable[Mapping[str, str]],
        views: Mapping[str, TargetView],
    ) -> WriteQuorum:
        """Return the quorum of a source that starts; ``metadata``: as it was recorded before."""
        # R4: an unproven target does not count. If its resync was cut short it calls its copy Inconsistent, even if
        # nothing is left to copy; a former source may hold acknowledged writes that are not on its stable storage.
        records = {name: record_of(metadata, name) for name in views}
        complete = {
            name for name, record in records.items() if not record.unproven and has_all(record, metadata.generation)
        }
        return cls(
            description.min_copies,
            description.on_no_quorum == "error",
            views.values(),
            former,
            metadata.node,
            complete,
            source_is_sync=description.node(metadata.node).mode == "sync",
        )

    def must_satisfy(self, former: Iterable[Mapping[str, str]]) -> None:
        """From now on writes must satisfy these former terms as well as the present ones."""
        self._former = list(former)

    def _enough(self, names: Iterable[str]) -> bool:
        """Whether the source and the sync targets ``names`` are enough copies, now and by the former terms."""
        there = {*self._own, *names}
        return len(there) >= self.least and all(satisfied(terms, there) for terms in self._former)

    def end(self) -> None:
        """The device is going: from now on writes fail while there are too few, whatever ``on_no_quorum`` says."""
        self.fails = True

    @property
    def flushed(self) -> bool:
        """While there are too few: whether all that was written is on stable storage on enough targets."""
        return self._enough(self._complete)

    @property
    def refusing(self) -> bool:
        """Whether writes are to fail now."""
        return self.lost and self.fails

    def changed(self) -> bool:
        """Count anew; returns whether there are too few now and were not before, or the other way round."""
        self.available = len(self._own) + sum(view.state == "InSync" for view in self._views)
        before, self.lost = (
            self.lost,
            not self._enough(view.name for view in self._views if view.state == "InSync"),
        )
        return before != self.lost

    def note_flushed(self, newest: int, leaving: TargetView | None) -> None:
        """There are too few from now on, for ``leaving`` was InSync; ``newest``: the newest write that changed data.

        ``leaving`` None: its store has failed, so its copy does not count, whatever it has confirmed (R4).
        """
        there = [view for view in self._views if view.state == "InSync" or view is leaving]
        self._complete = {view.name for view in there if view.durable >= newest}

    def doubt(self, name: str) -> None:
        """A target calls its copy Inconsistent from now on, whatever it has confirmed: it does not count (R4)."""
        self._complete.discard(name)

    @property
    def warning(self) -> str | None:
        """What status says while there are too few."""
        if not self.lost:
            return None
        what = "fail" if self.fails else "wait"
        if self.available >= self.least:
            return (
                f"the description has changed, and too few nodes of the old one know it yet, so writes {what} until "
                "more sync targets of the old description are InSync under the new one; if the others are gone for "
                "good, run dkrepl config adopt --fenced NODE"
            )
        why = "" if self._own else "; this source is async, so its own copy does not count: switch over to a sync node"
        return (
            f"{self.available} of {self.least} copies are available (min_copies), so writes {what} until more "
            f"sync targets are InSync{why}"
        )
