"""The record of a node as many tests begin with it."""

from __future__ import annotations

from typing import Any

from dkrepl.core.lineage.metadata import FORMAT, NodeMetadata


def record(**fields: Any) -> NodeMetadata:
    """Return the record of alpha, which is source and has data; ``fields`` are set otherwise."""
    plain: dict[str, Any] = {
        "format": FORMAT,
        "mirror": "r0",
        "mirror_id": "m1",
        "node": "alpha",
        "role": "source",
        "size": 1 << 20,
        "block": 4096,
        "extent": 32768,
        "generation": "g3",
        "store_state": "Consistent",
    }
    return NodeMetadata(**plain | fields)
