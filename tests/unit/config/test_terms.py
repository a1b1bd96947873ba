"""In which keys of their descriptions nodes must agree (R14)."""

from __future__ import annotations

import pytest

from dkrepl.config import schema
from dkrepl.config.description import parse
from dkrepl.config.example import render_example
from dkrepl.config.terms import differences, required


@pytest.mark.parametrize("written", [False, True])
def test_a_required_key_that_is_left_out_counts_with_the_default_of_the_release(
    written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So during a rolling upgrade to another default nodes refuse each other, unless the old value is written down."""
    text = render_example()
    if written:
        text = text.replace('# peer_timeout = "5s"', 'peer_timeout = "5s"')
    before = required(parse(text, "r0", {}))
    monkeypatch.setitem(schema.MIRROR, "peer_timeout", schema.MIRROR["peer_timeout"]._replace(default=7.0))
    after = required(parse(text, "r0", {}))
    assert [one.key for one in differences(before, after)] == ([] if written else ["peer_timeout"])
