"""A target that is cut off, in one direction or both, does not stop the source and comes back with what it missed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import network
from support.nodes import MIB, Node, assert_equal_copies, in_sync
from support.writer import writing

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("settled")]

AREA = 64 * MIB
AREA_LENGTH = 4 * MIB


@pytest.fixture(autouse=True)
def _healed() -> Iterator[None]:
    yield
    network.heal()


@pytest.mark.parametrize(
    ("target", "deaf"), [("beta", "the source"), ("beta", "the target"), ("beta", "both"), ("gamma", "both")]
)
def test_a_target_that_is_cut_off(nodes: dict[str, Node], alpha: Node, target: str, deaf: str) -> None:
    other = "gamma" if target == "beta" else "beta"
    before = {name: alpha.target(name)["resent_bytes"] for name in (target, other)}
    with writing(alpha, AREA, AREA_LENGTH) as writer:
        writer.wait_for(300)
        if deaf != "the target":
            network.deafen("alpha", target)
        if deaf != "the source":
            network.deafen(target, "alpha")
        alpha.wait(f"{target} gone", lambda: alpha.target(target)["state"] in ("Disconnected", "Connecting", "Behind"))
        # What the target says of itself, it says as soon as it hears nothing.
        if deaf != "the source":
            nodes[target].wait("it notices", lambda: nodes[target].status()["state"] != "InSync")
        writer.wait_for(300)
        assert alpha.target(other)["state"] == "InSync", "the other target must not suffer"
        network.heal()
        in_sync(alpha, 90)
        writer.stop()
    assert not writer.errors(), "the application must not notice"
    found = alpha.target(target)
    sent = found["resent_bytes"] - before[target]
    print(f"{target} was sent {sent} bytes again")
    assert found["last_resync"]["kind"] == "partial"
    assert 0 < sent <= 2 * AREA_LENGTH
    assert alpha.target(other)["resent_bytes"] == before[other]
    assert not writer.missing_on(alpha)
    assert_equal_copies(nodes)
