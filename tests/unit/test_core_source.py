"""A source on its way out: what its heir goes by must stay as it is."""

from __future__ import annotations

from typing import Any

from dkrepl.core.actions import Commit
from dkrepl.core.agreement import required
from dkrepl.core.bitmap import IntentBitmap
from dkrepl.core.description import parse
from dkrepl.core.description_example import render_example
from dkrepl.core.intent_log import IntentLog
from dkrepl.core.messages import PROTOCOL_MAX, PROTOCOL_MIN, Hello
from dkrepl.core.metadata import NodeMetadata
from dkrepl.core.source import Source

DESCRIPTION = parse(render_example(), "r0", {})
BLOCKS, PER_EXTENT = DESCRIPTION.size // DESCRIPTION.block, DESCRIPTION.extent // DESCRIPTION.block


def bitmap() -> IntentBitmap:
    sizes = IntentBitmap.bits_bytes(BLOCKS, PER_EXTENT), IntentBitmap.seals_bytes(BLOCKS, PER_EXTENT)
    return IntentBitmap(bytearray(sizes[0]), bytearray(sizes[1]), BLOCKS, PER_EXTENT)


def test_a_source_that_says_goodbye_offers_no_joining_any_more() -> None:
    """The heir takes over only if the joining that the source has recorded of it was its last."""
    facts: dict[str, Any] = {"size": DESCRIPTION.size, "block": DESCRIPTION.block, "extent": DESCRIPTION.extent}
    record = NodeMetadata(1, "r0", "m1", "alpha", "source", **facts, generation="g1", store_state="Consistent")
    bitmaps = {name: bitmap() for name in ("beta", "gamma")}
    source = Source(DESCRIPTION, "alpha", record, bitmaps, IntentLog(-(-BLOCKS // PER_EXTENT), (), 1), 7, lambda: "g2")
    size, block = DESCRIPTION.size, DESCRIPTION.block
    hello = Hello(
        *(PROTOCOL_MIN, PROTOCOL_MAX, "r0", "m1", "beta", size, block, "g1", [], "Consistent", 5, "x", "alpha"),
        terms=required(DESCRIPTION),
    )
    source.actions.clear()
    source.ending = True
    source.on_message("beta", hello, 1.0)
    assert not source.actions
    source.ending = False
    source.on_message("beta", hello, 1.0)
    assert [action for action in source.actions if isinstance(action, Commit)]
    assert source.views["beta"].join == 6
