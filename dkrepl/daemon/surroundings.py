"""What every role of a node is given when it begins, beside the record of the node."""

from __future__ import annotations

from dataclasses import dataclass

from dkrepl.config.description import Description, Node
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.daemon.outside import Events, Loop, Outside
from dkrepl.errors import StoreError
from dkrepl.io.net.access import Access


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """``node``: the one of the ``description`` that this is; ``loop``: that of this role alone."""

    outside: Outside
    description: Description
    node: Node
    loop: Loop
    events: Events
    access: Access
    limits: Limits = DEFAULT

    @property
    def peers(self) -> list[str]:
        """The names of the other nodes."""
        return [peer.name for peer in self.description.peers(self.node.name)]

    def check_store(self) -> None:
        """Raise ``StoreError`` if the store is too small for the mirror."""
        store, size = self.outside.store, self.description.size
        if store.size < size:
            text = f"the store {store.path} has {store.size} bytes, the mirror needs {size}; use a larger one"
            raise StoreError(text)
