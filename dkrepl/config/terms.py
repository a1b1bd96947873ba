"""What the descriptions of two nodes must agree in, and what differs if they do not (rule R14).

A description is flattened to short texts by key. *Required* keys decide what a copy means: which nodes may hold an
acknowledged write, how many must, and when a silent source counts as gone. Nodes that differ in one of them refuse each
other. *Advisory* keys may differ without danger; the difference is a warning.

Nodes are identified by name, never by position, so their order in a description means nothing.

A key that is left out counts with its default. So a release that changes the default of a required key makes nodes
that leave it out refuse each other during a rolling upgrade, unless the old value is written into their descriptions
first; its changelog has to say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from xxhash import xxh3_64_hexdigest

from dkrepl.config.description import Description
from dkrepl.config.units import exact_size

Terms = dict[str, str]
"""Flattened keys of a description: ``{"min_copies": "2", "node beta": "sync", ...}``."""

_NODE = "node "


class Difference(NamedTuple):
    """One key in which two descriptions differ; None: the key is missing there."""

    key: str
    here: str | None
    there: str | None

    def __str__(self) -> str:
        """As in a sentence: ``min_copies (2 here, 1 there)``."""
        return f"{self.key} ({self.here or 'missing'} here, {self.there or 'missing'} there)"


def required(description: Description) -> Terms:
    """Return the keys in which the nodes of a mirror must agree."""
    terms = {
        "size": exact_size(description.size),
        "block": exact_size(description.block),
        "extent": exact_size(description.extent),
        "peer_timeout": f"{description.peer_timeout:g}s",
        "min_copies": str(description.min_copies),
    }
    return terms | {_NODE + node.name: node.mode for node in description.nodes}


def advisory(description: Description) -> Terms:
    """Return the keys in which the nodes should agree, but need not. Public keys are not among them."""
    given = msgspec.to_builtins(description)
    apart = {"name", "source", "nodes", "security", *required(description)}
    terms = {key: str(value) for key, value in given.items() if key not in apart}
    for node in given["nodes"]:
        for key, value in node.items():
            if key not in ("name", "mode", "public_key", "next_public_key"):
                terms[f"{key} of {node['name']}"] = str(value)
    return terms


def digest(terms: Mapping[str, str]) -> str:
    """Return 16 hex digits that are equal for equal terms, in whatever order."""
    return xxh3_64_hexdigest(msgspec.json.encode(sorted(terms.items())))


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[Difference]:
    """Return the keys in which two sets of terms differ, sorted."""
    keys = sorted({*here, *there})
    return [Difference(key, here.get(key), there.get(key)) for key in keys if here.get(key) != there.get(key)]


def disagreement(here: Mapping[str, str], there: Mapping[str, str], peer: str, mirror: str) -> str | None:
    """Return why ``peer`` may not follow: its description differs in what must be equal (R14); None if it does not."""
    found = differences(here, there)
    if not found:
        return None
    return (
        f"the description on {peer} differs in {', '.join(map(str, found))}; make them equal and restart the daemon "
        f"whose description changed; dkrepl config diff {mirror} shows all differences"
    )


def sync_nodes(terms: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the nodes that are written to synchronously while they are targets."""
    return frozenset(
        key.removeprefix(_NODE) for key, value in terms.items() if key.startswith(_NODE) and value == "sync"
    )


def min_copies(terms: Mapping[str, str]) -> int:
    """Return how many copies must confirm a write before it is answered."""
    return int(terms.get("min_copies", "1"))
