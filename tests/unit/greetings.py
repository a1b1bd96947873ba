"""How a target and a source greet each other, as many tests begin."""

from __future__ import annotations

from typing import Any

from dkrepl.config.description import Description
from dkrepl.config.terms import required
from dkrepl.core.protocol.messages import PROTOCOL_MAX, PROTOCOL_MIN, Answer, Hello, Welcome


def hello(description: Description | None = None, **fields: Any) -> Hello:
    """Return what beta says to alpha, whose generation it has; ``fields`` are set otherwise.

    ``description``: the sizes and the terms are those of this one.
    """
    plain: dict[str, Any] = {
        "protocol_min": PROTOCOL_MIN,
        "protocol_max": PROTOCOL_MAX,
        "mirror": "r0",
        "mirror_id": "m1",
        "node": "beta",
        "size": 1 << 20,
        "block": 4096,
        "generation": "g1",
        "history": [],
        "store_state": "Consistent",
        "epoch": 5,
        "software": "x",
        "follows": "alpha",
    }
    if description is not None:
        plain |= {"size": description.size, "block": description.block, "terms": required(description)}
    return Hello(**plain | fields)


def welcome(description: Description, **fields: Any) -> Welcome:
    """Return what alpha answers to a target that may copy; ``fields`` are set otherwise."""
    plain: dict[str, Any] = {
        "protocol": PROTOCOL_MAX,
        "epoch": 5,
        "session": 7,
        "group": 0,
        "slot": 0,
        "mirror_id": "m1",
        "generation": "g1",
        "history": [],
        "decision": "Copy",
        "source": "alpha",
        "terms": required(description),
    }
    return Welcome(**plain | fields)


def answer(**fields: Any) -> Answer:
    """Return what beta, a target, answers when it is asked who it is; ``fields`` are set otherwise."""
    plain: dict[str, Any] = {
        "node": "beta",
        "mirror": "r0",
        "mirror_id": "m1",
        "role": "target",
        "generation": "g1",
        "history": [],
    }
    return Answer(**plain | fields)
