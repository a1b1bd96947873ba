"""How many copies confirm a write before its answer: the source's own, and every sync target that is InSync.

With fewer than ``min_copies`` nothing that changes data is begun, and nothing that was begun is answered (R4): it
waits, or fails under ``on_too_few = "error"``. Reads go on. With ``min_copies = 1`` there are always enough.
"""

from __future__ import annotations

from collections.abc import Collection

from dkrepl.core.target_view import TargetView


class Copies:
    """``least``: ``min_copies``; ``refuse``: whether writes fail, and do not wait, while there are too few."""

    __slots__ = ("_views", "confirmable", "flushed", "least", "refuse", "too_few")

    def __init__(self, least: int, refuse: bool, views: Collection[TargetView]) -> None:
        self.least = least
        self.refuse = refuse
        self.confirmable = 1
        self.too_few = False
        self._views = [view for view in views if view.mode == "sync"]
        # Since there are too few: whether all that was written is durable on enough targets.
        self.flushed = sum(not view.bitmap.any() for view in self._views) >= least - 1

    @property
    def refusing(self) -> bool:
        """Whether writes are to fail now."""
        return self.too_few and self.refuse

    def changed(self) -> bool:
        """Count anew; returns whether there are too few now and were not before, or the other way round."""
        self.confirmable = 1 + sum(view.state == "InSync" for view in self._views)
        before, self.too_few = self.too_few, self.confirmable < self.least
        return before != self.too_few

    def note_flushed(self, newest: int, leaving: TargetView) -> None:
        """There are too few from now on, for ``leaving`` was InSync; ``newest``: the newest write that changed data."""
        durable = [view.durable for view in self._views if view.state == "InSync" or view is leaving]
        self.flushed = sum(seq >= newest for seq in durable) >= self.least - 1

    @property
    def warning(self) -> str | None:
        """What status says while there are too few."""
        if not self.too_few:
            return None
        what = "fail" if self.refuse else "wait"
        return (
            f"{self.confirmable} of {self.least} copies can be confirmed (min_copies), so writes {what} until more "
            "sync targets are InSync"
        )
