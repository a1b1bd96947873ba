"""The power of a node is cut in the middle of a resync: it goes on where it stopped, and nothing is lost."""

from __future__ import annotations

import pytest

from demo import power
from dkrepl.api.status import TargetAtSource
from support.nodes import BLOCK, DEVICE, EXTENT, LAB, MIB, Node, assert_equal_copies, in_sync
from support.writer import writing
from tests.lab.status import partial_resync
from tests.scenarios.test_power_loss import test_a_target_that_loses_its_power_in_a_resync_goes_on_where_it_stopped

__all__ = ["test_a_target_that_loses_its_power_in_a_resync_goes_on_where_it_stopped"]

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("settled")]

MISSED = 96 * MIB  # what beta has to be sent, at the start of the device
MISSED_FILE = "/var/tmp/missed"
AREA = 128 * MIB  # where the writer writes, and how much
AREA_LENGTH = 4 * MIB


def fall_behind(alpha: Node, beta: Node) -> None:
    """Have beta miss MISSED bytes; return when it has been sent half of them."""
    beta.sh("systemctl stop dkrepl@r0")
    alpha.wait("beta gone", lambda: alpha.target("beta").state == "Disconnected")
    alpha.sh(f"head -c {MISSED} /dev/urandom > {MISSED_FILE}")
    alpha.sh(f"dd if={MISSED_FILE} of={DEVICE} bs=1M oflag=direct conv=fsync,notrunc,nocreat")
    beta.sh("systemctl start dkrepl@r0")

    def half_way() -> bool:
        resync = alpha.target("beta").resync
        return resync is not None and 50 <= resync.percent < 95

    alpha.wait("beta half way through its resync", half_way)


def assert_missed_part_is_there(alpha: Node) -> None:
    alpha.sh(f"cmp --bytes={MISSED} {MISSED_FILE} {DEVICE}")


def resent(target: TargetAtSource) -> int:
    """Bytes that the last resync of a target sent; it was partial."""
    return partial_resync(target).sent_bytes


def test_a_target_that_loses_its_power_beside_a_resync_does_not_begin_that_anew(
    nodes: dict[str, Node], alpha: Node
) -> None:
    before = alpha.target("beta").resent_bytes
    fall_behind(alpha, nodes["beta"])
    with writing(alpha, AREA, AREA_LENGTH) as writer:
        writer.wait_for_more(500)
        power.cut(LAB, "gamma")
        alpha.wait("gamma gone", lambda: alpha.target("gamma").state == "Disconnected")
        writer.wait_for_more(500)
        power.restore(LAB, "gamma")
        in_sync(alpha, 120)
        writer.stop()
    assert not writer.errors, "the application must not notice"
    gamma, beta = alpha.target("gamma"), alpha.target("beta")
    print(f"gamma was sent {resent(gamma)} bytes, beta {beta.resent_bytes - before}")
    # gamma missed nothing but what the writer wrote, and perhaps the end of what it had not yet confirmed before.
    assert 0 < resent(gamma) <= AREA_LENGTH + EXTENT
    assert beta.resent_bytes - before <= MISSED + AREA_LENGTH, "beta's resync must not begin anew"
    assert not writer.missing_on(alpha)
    assert_missed_part_is_there(alpha)
    assert_equal_copies(nodes)


def came_back(alpha: Node, left: int) -> None:
    """The source serves again, and its intent log spared it all but what a power loss may have taken."""
    alpha.wait("service", lambda: alpha.shown().state == "Serving")
    (recovered,) = alpha.events("activity_log_recovered")
    assert recovered["power_lost"], "the test is about the loss of power"
    active = recovered["active_extents"] * EXTENT
    assert active <= MISSED + AREA_LENGTH + 4 * EXTENT, "extents that were not written must not be active"
    in_sync(alpha, 120)
    targets = {name: alpha.target(name) for name in ("beta", "gamma")}
    print(f"{active} bytes were active, beta lacked {left}; sent: { {name: resent(t) for name, t in targets.items()} }")
    assert resent(targets["beta"]) <= left + active
    assert resent(targets["gamma"]) <= active
    for name, blocks in recovered["dirty_blocks"].items():
        assert resent(targets[name]) <= blocks * BLOCK


def test_a_source_that_loses_its_power_in_a_resync_goes_on_with_it(nodes: dict[str, Node], alpha: Node) -> None:
    fall_behind(alpha, nodes["beta"])
    with writing(alpha, AREA, AREA_LENGTH) as writer:
        writer.wait_for_more(500)
        left = alpha.target("beta").dirty_bytes
        power.cut(LAB, "alpha")
        writer.stop()
    power.restore(LAB, "alpha")
    came_back(alpha, left)
    assert not writer.missing_on(alpha)
    assert_missed_part_is_there(alpha)
    assert_equal_copies(nodes)


def test_nodes_that_all_lose_their_power_in_a_resync_go_on_with_it(nodes: dict[str, Node], alpha: Node) -> None:
    fall_behind(alpha, nodes["beta"])
    with writing(alpha, AREA, AREA_LENGTH) as writer:
        writer.wait_for_more(500)
        left = alpha.target("beta").dirty_bytes
        power.cut(LAB, *LAB.nodes)
        writer.stop()
    power.restore(LAB, *LAB.nodes)
    came_back(alpha, left)
    assert not writer.missing_on(alpha)
    assert_missed_part_is_there(alpha)
    assert_equal_copies(nodes)
