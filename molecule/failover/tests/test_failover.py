"""The source dies under load and a target takes over: what was answered is there, and nobody copies the whole store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo import power
from dkrepl.api.status import LastResync
from support.nodes import EXTENT, LAB, MIB, MIRROR, NODES, UNIT, Node, assert_equal_copies, device_open, hold, in_sync
from support.playbook import changed, playbook
from support.writer import writing

pytestmark = pytest.mark.timeout(400)

BASE = 64 * MIB  # that all nodes hold, at the start of the device; nothing of it may be sent again
AREA_LENGTH = 4 * MIB
# Extents that were active when the source died: those of the area, and up to four ahead of it.
ACTIVE = AREA_LENGTH + 5 * EXTENT


@pytest.fixture(autouse=True)
def _alpha_is_source(nodes: dict[str, Node], alpha: Node) -> Iterator[None]:
    """Every test begins with a full, quiet mirror whose source is alpha, and leaves no node without power."""
    hold(alpha, BASE)
    alpha.wait("no extent active", lambda: alpha.source().active_extents == 0)
    yield
    power.restore(LAB, *NODES)
    for name in NODES:
        nodes[name].sh(f"systemctl start {UNIT}")


def role(node: Node) -> tuple[str, str]:
    status = node.shown()
    return status.role, status.state


def last_resync(source: Node, name: str) -> LastResync:
    """How a target became equal to the source: nothing at all, or what was partial."""
    nothing = LastResync(kind="none", seconds=0.0, copied_bytes=0, sent_bytes=0)
    found = source.target(name).last_resync or nothing
    print(f"{name} follows {source.name}: {found.kind} resync, {found.sent_bytes} bytes sent")
    return found


def test_a_dead_source_is_replaced_and_comes_back_as_a_target(nodes: dict[str, Node], alpha: Node) -> None:
    beta = nodes["beta"]
    with writing(alpha, 128 * MIB, AREA_LENGTH, seed=1) as writer:
        writer.wait_for_more(2000)
        assert changed(playbook("failover.yml")) == 0, "a mirror whose source lives must be left alone"
        assert role(alpha) == ("source", "Serving")
        writer.wait_for_more(1000)
        power.cut(LAB, "alpha")
        writer.stop()
        print(f"{writer.account.count} writes were answered before the power of alpha was cut")

    looked = playbook("failover.yml", "--check")
    assert looked.returncode == 0, looked.stdout[-3000:]
    assert "beta would be the source" in looked.stdout
    assert role(beta)[0] == "target", "check mode must change nothing"

    done = playbook("failover.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    assert role(beta) == ("source", "Serving")
    assert not writer.missing_on(beta)
    # R8: of the survivor, too, only what it was not known to hold.
    survivor = last_resync(beta, "gamma")
    assert survivor.kind in ("none", "partial")
    assert survivor.sent_bytes <= AREA_LENGTH
    assert changed(playbook("failover.yml")) == 0, "the second run must change nothing"

    with writing(beta, 160 * MIB, AREA_LENGTH, seed=2) as later:
        later.wait_for_more(1000)
        power.restore(LAB, "alpha")
        in_sync(beta, 120)
        later.stop()
    assert not later.errors
    old = last_resync(beta, "alpha")
    assert old.kind == "partial"
    assert 0 < old.sent_bytes <= ACTIVE + AREA_LENGTH, "only what may differ"
    assert role(alpha) == ("target", "InSync")
    assert not writer.missing_on(beta)
    assert not later.missing_on(beta)
    assert_equal_copies(nodes, "beta")

    # Back again: nothing need be copied.
    assert changed(playbook("switchover.yml", "--check", "-e", "dkrepl_switchover_to=alpha")) == 0
    assert role(beta) == ("source", "Serving"), "check mode must change nothing"
    with device_open(beta):
        refused = playbook("switchover.yml", "-e", "dkrepl_switchover_to=alpha")
    assert refused.returncode != 0
    assert "in use" in refused.stdout
    assert role(beta) == ("source", "Serving")
    done = playbook("switchover.yml", "-e", "dkrepl_switchover_to=alpha")
    assert done.returncode == 0, done.stdout[-3000:]
    assert changed(done) == 1
    assert changed(playbook("switchover.yml", "-e", "dkrepl_switchover_to=alpha")) == 0
    in_sync(alpha)
    for name in ("beta", "gamma"):
        assert last_resync(alpha, name).sent_bytes == 0
    assert not writer.missing_on(alpha)
    assert not later.missing_on(alpha)
    assert_equal_copies(nodes, "alpha")


def test_what_may_lose_data_is_done_only_when_told(nodes: dict[str, Node], alpha: Node) -> None:
    gamma = nodes["gamma"]
    # Without power a target forgets what the others may lack, and is copied in full; so its daemon is stopped instead.
    nodes["beta"].sh(f"systemctl stop {UNIT}")
    power.cut(LAB, "alpha")
    refused = playbook("failover.yml")
    assert refused.returncode != 0
    assert "NoQuorum" in refused.stdout, "it must say what the dry run says"
    assert role(gamma)[0] == "target"
    done = playbook("failover.yml", "-e", "dkrepl_failover_force=true")
    assert done.returncode == 0, done.stdout[-3000:]
    assert role(gamma) == ("source", "Serving")
    with writing(gamma, 128 * MIB, AREA_LENGTH, seed=3) as writer:
        # With min_copies = 2 it answers nothing until another node follows it.
        power.restore(LAB, "alpha")
        nodes["beta"].sh(f"systemctl start {UNIT}")
        writer.wait_for_more(500)
        in_sync(gamma, 120)
        writer.stop()
    for name in ("alpha", "beta"):
        found = last_resync(gamma, name)
        assert found.kind == "partial"
        assert found.sent_bytes <= AREA_LENGTH + EXTENT
    assert not writer.missing_on(gamma)
    assert_equal_copies(nodes, "gamma")
    done = playbook("switchover.yml", "-e", f"dkrepl_mirror={MIRROR}", "-e", "dkrepl_switchover_to=alpha")
    assert done.returncode == 0, done.stdout[-3000:]
    in_sync(alpha)
