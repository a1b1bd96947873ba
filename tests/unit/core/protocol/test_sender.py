"""A message may speak only under the name that the transport has proven."""

from __future__ import annotations

import pytest

from dkrepl.core.protocol.frames import Ack
from dkrepl.core.protocol.messages import Answer, AnyMessage, Ask, Bye, Describe, Stalled
from dkrepl.core.protocol.sender import check_sender, name_of
from dkrepl.errors import ProtocolError
from tests.unit.greetings import hello

ANSWER = Answer(node="beta", mirror="r0", mirror_id="m1", role="target", generation="g1", history=[])


@pytest.mark.parametrize(
    "message", [Ask("beta", "r0", "m1"), Describe("beta", "r0"), Stalled("beta", 1.0), ANSWER, hello(node="beta")]
)
def test_another_name_than_the_proven_one_is_refused(message: AnyMessage) -> None:
    check_sender(message, "beta")
    with pytest.raises(ProtocolError, match="under the name 'beta'"):
        check_sender(message, "gamma")


def test_what_names_no_sender_that_counts_is_not_refused() -> None:
    check_sender(Bye("beta"), "gamma")
    check_sender(Ack(1, 2, 3, 3, 0, 0), "gamma")


@pytest.mark.parametrize(
    ("identity", "name"), [(b"beta/0a1b2c3d", "beta"), (b"beta", "beta"), (b"", ""), (b"\xff/x", "�")]
)
def test_the_name_is_what_comes_before_the_slash(identity: bytes, name: str) -> None:
    assert name_of(identity) == name
