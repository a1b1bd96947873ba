"""What nodes answer when one of them is to be promoted, and the mirrors that they are of."""

from __future__ import annotations

from typing import Any

from dkrepl.config.description import Description, parse
from dkrepl.core.protocol.messages import Answer, Copy
from tests.unit import greetings

G0, G1, G2 = "a" * 16, "b" * 16, "c" * 16
THREE = {"alpha": "sync", "beta": "sync", "gamma": "sync"}


def answer(
    node: str, role: str = "target", generation: str = G1, history: tuple[str, ...] = (G0,), **copy: Any
) -> Answer:
    """A target that was in sync when alpha died, 1000 bytes after the start of its session; gamma is asynchronous."""
    facts: dict[str, Any] = {
        "mode": "async" if node == "gamma" else "sync",
        "state": "Disconnected",
        "store_state": "Consistent",
        "follows": "alpha",
        "in_sync_when_lost": True,
        "in_sync_as_of": 5000.0,
        "heard_at": 5000.0,
        "session": 7,
        "applied": 10,
        "applied_bytes": 1000,
        "head_bytes": 1000,
    }
    said = Copy(**(facts | copy)) if role != "source" else None
    return greetings.answer(node=node, role=role, generation=generation, history=list(history), copy=said)


def mirror(min_copies: int, modes: dict[str, str]) -> Description:
    """Return the description of these nodes, in their modes."""
    text = f'name = "r0"\nsize = "1GiB"\nsource = "alpha"\nsecurity = "none"\nmin_copies = {min_copies}\n'
    for number, (name, mode) in enumerate(modes.items(), 1):
        text += f'[[node]]\nname = "{name}"\naddress = "10.0.0.{number}"\nstore = "/s"\nmode = "{mode}"\n'
    return parse(text, "r0", {})
