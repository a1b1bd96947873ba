"""Two nodes are source at once: both say so, nothing is overwritten, and what the loser alone has is saved aside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dkrepl.api.status import SplitBrain
from support import network
from support.nodes import MIB, MIRROR, NODES, Node, assert_equal_copies, device_open, hold, in_sync
from support.playbook import playbook
from support.writer import writing
from tests.lab.container_load import ContainerLoad
from tests.lab.status import partial_resync

pytestmark = pytest.mark.timeout(400)

BASE = 32 * MIB  # that all nodes hold; nothing of it may be sent again
AREA_LENGTH = 4 * MIB
REFUSED = 5
KEPT = f"/var/lib/dkrepl/{MIRROR}/diverged"


@pytest.fixture(autouse=True)
def _alpha_is_source(nodes: dict[str, Node], alpha: Node) -> Iterator[None]:
    hold(alpha, BASE)
    yield
    network.heal()


def promote(node: Node) -> None:
    """Promote a node as an administrator would who cannot reach the source."""

    def dry_run() -> dict[str, Any]:
        outlook: dict[str, Any] = json.loads(node.sh(f"dkrepl promote {MIRROR} --dry-run --json"))
        return outlook if outlook["possible"] else {}

    outlook = node.wait("it hears the source no more", dry_run)
    node.sh(f"dkrepl promote {MIRROR}" + ("" if outlook["safe"] else f" --force {outlook['token']}"))


def split(
    source: Node, others: list[Node], promoted: Node, offsets: tuple[int, int]
) -> tuple[ContainerLoad, ContainerLoad]:
    """Have two sources, each with writes that the other lacks; return the writers, which have ended."""
    for other in others:
        network.part(source.name, other.name)
    with writing(source, offsets[0], AREA_LENGTH, seed=1) as mine:
        promote(promoted)
        with writing(promoted, offsets[1], AREA_LENGTH, seed=2) as theirs:
            theirs.wait_for_more(300)
            mine.wait_for_more(300)
            theirs.stop()
        mine.stop()
    assert not mine.errors
    assert not theirs.errors
    return mine, theirs


def evidence(node: Node, other: Node) -> SplitBrain:
    """What a node reports once it has met the other source."""
    found: SplitBrain = node.wait(f"a split-brain with {other.name} is reported", lambda: node.source().split_brain)
    print(f"{node.name}: {found}")
    assert found.peer == other.name
    assert found.since
    for bytes_alone in (found.here_bytes, found.there_bytes):
        assert 0 < (bytes_alone or 0) <= AREA_LENGTH, "only what one side alone has written"
    assert any("split" in warning.lower() for warning in node.shown().warnings)
    return found


def give_way(loser: Node, winner: Node, lost: ContainerLoad) -> None:
    """Resolve in favour of the winner; the loser's writes are in the side file before they are replaced."""
    with device_open(loser):
        assert "in use" in loser.refused(f"dkrepl resolve {MIRROR} --keep {winner.name}", REFUSED)
    loser.sh(f"dkrepl resolve {MIRROR} --keep {winner.name}")
    in_sync(winner, 90)
    image = loser.sh(f"ls {KEPT}/*.img")
    assert len(image.split()) == 1
    assert not lost.missing_on(loser, image), "what the loser alone had must be in the side file"
    assert int(loser.sh(f"du --block-size=1 {image}").split()[0]) <= 2 * AREA_LENGTH, "and not much else"
    assert loser.sh(f"dkrepl diverged list {MIRROR}")
    resync = partial_resync(winner.target(loser.name))
    print(f"{loser.name} gave way: {resync}")
    assert 0 < resync.sent_bytes <= 2 * AREA_LENGTH + MIB, "only what one of the two sides wrote"
    for node in (loser, winner):
        assert getattr(node.shown(), "split_brain", None) is None


def test_the_promoted_node_gives_way(nodes: dict[str, Node], alpha: Node) -> None:
    beta, gamma = nodes["beta"], nodes["gamma"]
    network.part("beta", "gamma")
    mine, theirs = split(alpha, [beta], beta, (64 * MIB, 96 * MIB))
    network.heal()
    here, there = evidence(alpha, beta), evidence(beta, alpha)
    assert (here.here_bytes, here.there_bytes) == (there.there_bytes, there.here_bytes)
    for node in (alpha, beta):
        assert node.shown().role == "source", "both stay as they are until told"
    assert alpha.target("gamma").state == "InSync"
    assert not mine.missing_on(alpha)
    assert not theirs.missing_on(beta)
    refused = playbook("switchover.yml", "-e", "dkrepl_switchover_to=gamma")
    assert refused.returncode != 0
    assert "split-brain" in refused.stdout

    give_way(beta, alpha, theirs)
    assert not mine.missing_on(alpha)
    assert_equal_copies(nodes)
    assert gamma.shown().state == "InSync"


def test_the_old_source_gives_way(nodes: dict[str, Node], alpha: Node) -> None:
    beta, gamma = nodes["beta"], nodes["gamma"]
    mine, theirs = split(alpha, [beta, gamma], beta, (64 * MIB, 96 * MIB))
    beta.wait("gamma follows beta", lambda: beta.target("gamma").state == "InSync")
    assert beta.target("gamma").resent_bytes <= AREA_LENGTH
    network.heal()
    evidence(alpha, beta)
    evidence(beta, alpha)
    assert not mine.missing_on(alpha)
    assert not theirs.missing_on(beta)

    give_way(alpha, beta, mine)
    assert not theirs.missing_on(beta)
    assert_equal_copies(nodes, "beta")
    done = playbook("switchover.yml", "-e", "dkrepl_switchover_to=alpha")
    assert done.returncode == 0, done.stdout[-3000:]
    in_sync(alpha)
    assert_equal_copies({name: nodes[name] for name in NODES})
