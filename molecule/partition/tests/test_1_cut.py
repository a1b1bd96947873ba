"""A target that is cut off, in one direction or both, does not stop the source and comes back with what it missed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import network
from support.nodes import MIB, Node, assert_equal_copies, in_sync
from support.writer import writing
from tests.lab.status import partial_resync
from tests.scenarios.test_cut_target import test_a_cut_target_catches_up_by_a_partial_resync

__all__ = ["test_a_cut_target_catches_up_by_a_partial_resync"]

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("settled")]

AREA = 64 * MIB
AREA_LENGTH = 4 * MIB


@pytest.fixture(autouse=True)
def _healed() -> Iterator[None]:
    yield
    network.heal()


@pytest.mark.parametrize("deaf", ["the source", "the target"])
def test_a_target_that_is_cut_off_in_one_direction(nodes: dict[str, Node], alpha: Node, deaf: str) -> None:
    target, other = "beta", "gamma"
    before = {name: alpha.target(name).resent_bytes for name in (target, other)}
    with writing(alpha, AREA, AREA_LENGTH) as writer:
        writer.wait_for_more(300)
        if deaf == "the source":
            network.deafen("alpha", target)
        else:
            network.deafen(target, "alpha")
        alpha.wait(f"{target} gone", lambda: alpha.target(target).state in ("Disconnected", "Connecting", "Behind"))
        # What the target says of itself, it says as soon as it hears nothing.
        if deaf == "the target":
            nodes[target].wait("it notices", lambda: nodes[target].shown().state != "InSync")
        writer.wait_for_more(300)
        assert alpha.target(other).state == "InSync", "the other target must not suffer"
        network.heal()
        in_sync(alpha, 90)
        writer.stop()
    assert not writer.errors, "the application must not notice"
    found = alpha.target(target)
    sent = found.resent_bytes - before[target]
    print(f"{target} was sent {sent} bytes again")
    assert partial_resync(found)
    assert 0 < sent <= 2 * AREA_LENGTH
    assert alpha.target(other).resent_bytes == before[other]
    assert not writer.missing_on(alpha)
    assert_equal_copies(nodes)
