"""What of a description changes while a mirror is in use: its nodes, their order, their modes, and ``min_copies``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Layout:
    """``modes``: the nodes in their order, each with its mode. Each method returns another layout."""

    modes: tuple[tuple[str, str], ...]
    min_copies: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes, in their order."""
        return tuple(name for name, _ in self.modes)

    @property
    def sync_nodes(self) -> tuple[str, ...]:
        """The nodes of mode sync, in their order."""
        return tuple(name for name, mode in self.modes if mode == "sync")

    def adding(self, name: str, mode: str = "sync", place: int | None = None) -> Layout:
        """With one more node, at the end or at ``place``."""
        modes = list(self.modes)
        modes.insert(len(modes) if place is None else place, (name, mode))
        return replace(self, modes=tuple(modes))

    def removing(self, name: str) -> Layout:
        """Without a node."""
        return replace(self, modes=tuple(pair for pair in self.modes if pair[0] != name))

    def in_order(self, names: Sequence[str]) -> Layout:
        """With the same nodes in another order."""
        assert sorted(names) == sorted(self.names)
        modes = dict(self.modes)
        return replace(self, modes=tuple((name, modes[name]) for name in names))

    def with_mode(self, name: str, mode: str) -> Layout:
        """With another mode for a node."""
        return replace(self, modes=tuple((one, mode if one == name else old) for one, old in self.modes))

    def with_min_copies(self, count: int) -> Layout:
        """With another ``min_copies``."""
        return replace(self, min_copies=count)
