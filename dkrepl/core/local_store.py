"""The store of a node, as far as the core itself writes to it."""

from __future__ import annotations

from typing import Protocol


class LocalStore(Protocol):
    """Offsets are bytes. ``dkrepl/io/store`` has the real one."""

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write ``data`` at ``offset``. Raises ``StoreError``."""
