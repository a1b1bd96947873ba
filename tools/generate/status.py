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
    status.SavedBlocks: "Saved blocks",
    status.SourceCounters: "Counters of a source",
    status.TargetCounters: "Counters of a target",
    status.Refusals: "Counters of an arbitrating node",
    status.Process: "Process",
    status.Host: "Host",
}

_INTRODUCTION = """
`dkrepl status MIRROR --json` prints one object. Its `role` is `source` or `target`; a `source` without `seq` is a node
that was source and asks its peers before it serves again. Keys may be added in later versions; none is renamed.
`schema` counts up when the meaning of a key changes. As JSON Schema: [schema/status.json](schema/status.json).

All of it is of one moment. While the daemon's loop waits for the store, status is not answered: after 8 s the command
ends with an error that says for how long. What each sentence in `warnings` calls for: [warnings](warnings.md). Without
MIRROR, several mirrors: [JSON output](json-output.md#status-of-several-mirrors).
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
