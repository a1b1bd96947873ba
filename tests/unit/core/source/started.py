"""A source as it starts, which the tests of its parts begin with."""

from __future__ import annotations

from typing import Any

from dkrepl.config.description import Description, parse
from dkrepl.config.example import render_example
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.actions import Commit
from dkrepl.core.intent.activity_log import ActivityLog
from dkrepl.core.lineage.metadata import NodeMetadata, PeerRecord
from dkrepl.core.source.source import Source
from tests.unit.records import bitmap, record

DESCRIPTION = parse(render_example(), "r0", {})
BLOCKS, PER_EXTENT = DESCRIPTION.size // DESCRIPTION.block, DESCRIPTION.extent // DESCRIPTION.block
SESSION = 7
IN_SYNC = PeerRecord(epoch=5, offered=5, generations=("b1",), base=("b1",), tracked=True, merged=True)


def new_record(**facts: Any) -> NodeMetadata:
    """Return the record of alpha, which has data of generation b1; ``facts`` are set otherwise."""
    shape: dict[str, Any] = {"size": DESCRIPTION.size, "block": DESCRIPTION.block, "extent": DESCRIPTION.extent}
    return record(**{"generation": "b1"} | shape | facts)


def started(record: NodeMetadata, description: Description = DESCRIPTION, limits: Limits = DEFAULT) -> Source:
    """Return alpha as it starts as source with ``record``; nothing is marked for anybody."""
    bitmaps = {name: bitmap(DESCRIPTION, limits) for name in ("beta", "gamma")}
    intent = ActivityLog(-(-BLOCKS // PER_EXTENT), (), 1, limits=limits)
    source = Source(description, "alpha", record, bitmaps, intent, SESSION, lambda: "b2", limits=limits)
    source.actions.clear()
    return source


def commit(source: Source) -> None:
    """Make what the source wants to record durable."""
    numbers = [action.number for action in source.actions if isinstance(action, Commit)]
    source.actions.clear()
    for number in numbers:
        source.commits.committed(number, 1.0)
