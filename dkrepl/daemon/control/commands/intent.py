"""``intent``: which blocks may differ from a target."""

from __future__ import annotations

from dkrepl.api.answers import MOST_RANGES, DirtyBlocks, Intent, Range
from dkrepl.api.requests import Intent as Request
from dkrepl.daemon.control.desk import Desk
from dkrepl.daemon.control.reply import Reply
from dkrepl.daemon.source.runtime import SourceRuntime


def carry_out(desk: Desk, request: Request, reply: Reply) -> None:
    """Answer with the dirty blocks of the target named, or of all."""
    runtime = desk.source("show the intent log")
    names = desk.targets(runtime, (request.target,) if request.target else ())
    reply.done(Intent([_dirty_blocks(runtime, name) for name in names]))


def _dirty_blocks(runtime: SourceRuntime, name: str) -> DirtyBlocks:
    block, size = runtime.here.description.block, runtime.here.description.size
    bitmap = runtime.source.views[name].bitmap
    dirty = bitmap.count()
    return DirtyBlocks(
        name=name,
        block=block,
        blocks=bitmap.blocks,
        dirty_blocks=dirty,
        dirty_bytes=min(dirty * block, size),
        ranges=[
            Range(first * block, min(end * block, size) - first * block) for first, end in bitmap.runs(MOST_RANGES)
        ],
        active_extents=len(runtime.source.activity_log.active),
    )
