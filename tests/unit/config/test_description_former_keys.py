"""Keys of the description that had another name once."""

from __future__ import annotations

import pytest

from dkrepl.config.description import parse
from dkrepl.errors import DescriptionError

DESCRIBED = """
name = "r0"
size = "1GiB"
source = "alpha"
security = "none"
{}
[[node]]
name = "alpha"
address = "10.0.0.1"
store = "/srv/r0"
[[node]]
name = "beta"
address = "10.0.0.2"
store = "/srv/r0"
"""


def test_a_description_with_a_former_key_is_read() -> None:
    assert parse(DESCRIBED.format('on_too_few = "error"'), "r0", {}).on_no_quorum == "error"


def test_a_value_that_is_wrong_is_refused_under_the_present_name() -> None:
    with pytest.raises(DescriptionError, match=r'on_no_quorum is "maybe"'):
        parse(DESCRIBED.format('on_too_few = "maybe"'), "r0", {})


def test_both_names_at_once_are_refused() -> None:
    both = 'on_too_few = "wait"\non_no_quorum = "error"'
    with pytest.raises(DescriptionError, match="on_too_few is the former name of on_no_quorum, and both are given"):
        parse(DESCRIBED.format(both), "r0", {})
