"""The reference of ``dkrepl status --json``."""

from __future__ import annotations

import msgspec

from dkrepl.api import status
from tools.generate import fields, markdown

_ROLES: dict[type[msgspec.Struct], str] = {
    status.SourceStatus: "Source",
    status.TargetStatus: "Target",
    status.ArbitratingStatus: "Arbitrating node",
}
_PARTS: dict[type[msgspec.Struct], str] = {
    status.TargetAtSource: "Target at its source",
    status.ExpectedTarget: "Target of an arbitrating node",
    status.Window: "Window",
    status.Resync: "Resync",
    status.LastResync: "Last resync",
    status.Quorum: "Quorum",
    status.SplitBrain: "Split-brain",
    status.LastHeard: "Last heard",
    status.KeptBlocks: "Saved blocks",
    status.SourceCounters: "Counters of a source",
    status.TargetCounters: "Counters of a target",
    status.Refusals: "Counters of an arbitrating node",
    status.Process: "Process",
    status.Host: "Host",
}

_INTRODUCTION = """
`dkrepl status MIRROR --json` prints one object: that of a target if its `role` is `target`; that of a source if it is
`source`; and if there is no `seq`, that of a node that was source and arbitrates before it serves again. Keys may be
added in later versions, never renamed. As JSON Schema: [schema/status.json](schema/status.json).
"""


def reference() -> str:
    """Return the page."""
    needed = {inner for role in _ROLES for inner in fields.nested(role)}
    assert needed == set(_PARTS), f"the reference of status lacks {needed ^ set(_PARTS)}"
    parts = [
        _INTRODUCTION.strip(),
        f"## Every node\n\n{fields.fields_table(status.NodeStatus, _PARTS)}",
    ]
    for role, heading in _ROLES.items():
        table = fields.fields_table(role, _PARTS, inherited=False)
        parts.append(f"## {heading}\n\n{markdown.doc(role)} It has the keys of every node, and these.\n\n{table}")
    for part, heading in _PARTS.items():
        parts.append(f"## {heading}\n\n{markdown.doc(part)}\n\n{fields.fields_table(part, _PARTS)}")
    return markdown.page("Status", "dkrepl/api/status.py", *parts)
