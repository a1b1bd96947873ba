"""A store stands still for longer than the peer timeout: until store_timeout its node is known to live (R13)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.faulty_file import FaultyFile
from tests.integration.harness.faulty_store import on_faulty_store
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.node import Node
from tests.integration.harness.writer import Writer
from tests.lab.waiting import wait_for

pytestmark = pytest.mark.root

LONGER = 3.0  # seconds; three times the peer timeout


@contextlib.contextmanager
def _on_faulty_store(
    clusters: Clusters, directory: Path, name: str, store_timeout: str
) -> Iterator[tuple[Cluster, FaultyFile, Writer]]:
    """A mirror that is written to, whose node ``name`` has a store that can be made to stand still."""
    keys = {"peer_timeout": "1s", "store_timeout": store_timeout}
    with on_faulty_store(clusters, directory, name, **keys) as (cluster, file):
        writer = Writer(cluster.device, 0, 16 * MIB, flush_every=50)
        writer.wait_for_more(100)
        yield cluster, file, writer


def _left(node: Node, target: str) -> list[dict[str, Any]]:
    """Return how often ``node`` has seen ``target`` leave InSync."""
    return [event for event in node.logged("target_state") if event["target"] == target and event["before"] == "InSync"]


def _all_is_well(cluster: Cluster, writer: Writer, stalled: str) -> None:
    """The application goes on, nothing that it was told is missing, and the store is known to move again."""
    writer.wait_for_more(100)
    writer.stop()
    assert writer.error is None
    cluster.settle()
    cluster.assert_equal()
    for node in cluster.nodes.values():
        writer.assert_all_in(node.store)
    cluster.nodes[stalled].wait_for_event("store_moves_again", node=stalled)


@pytest.mark.parametrize("op", ["write", "sync"])
def test_a_target_whose_store_stands_still_stays_in_the_stream(clusters: Clusters, tmp_path: Path, op: str) -> None:
    with _on_faulty_store(clusters, tmp_path, "beta", "60s") as (cluster, file, writer):
        file.stall(op)
        seen = cluster.wait_target("beta", lambda one: (one["store_stalled"] or 0) > LONGER, "is seen to stand still")
        assert seen["state"] == "InSync"
        status = cluster.source.status() or {}
        assert any("the store of beta has been stalled for" in warning for warning in status["warnings"])
        cluster.source.wait_for_event("store_stalled", node="beta")
        cluster.nodes["beta"].wait_for_event("store_stalled", node="beta")
        file.mend()
        cluster.wait_target("beta", lambda one: one["store_stalled"] is None, "is seen to move again")
        _all_is_well(cluster, writer, "beta")
        for node, target in ((cluster.source, "beta"), (cluster.source, "gamma"), (cluster.nodes["beta"], "beta")):
            assert not _left(node, target)


def test_a_source_whose_store_stands_still_is_followed_on(clusters: Clusters, tmp_path: Path) -> None:
    with _on_faulty_store(clusters, tmp_path, "alpha", "60s") as (cluster, file, writer):
        file.stall("write")
        for target in cluster.targets:
            stalled = target.wait_for_event("store_stalled", node="alpha")
            assert target.wait_until(
                lambda status: status and any("the store of alpha" in warning for warning in status["warnings"]),
                "says that the store of its source stands still",
            )
            # Far beyond the peer timeout.
            wait_for(
                partial(_seconds, target),
                lambda seconds: seconds > LONGER,
                f"{target.name} has seen it stand still for long",
            )
            assert stalled["level"] == "warning"
        code, _, error = cluster.nodes["beta"].cli("promote", "r0")
        assert code != 0
        assert "source" in error
        file.mend()
        _all_is_well(cluster, writer, "alpha")
        for target in cluster.targets:
            assert not _left(target, target.name)
            assert not _left(cluster.source, target.name)


def _seconds(target: Node) -> float:
    """For how long a target says that the store of its source has been stalled."""
    warnings = (target.status() or {}).get("warnings", [])
    return max(
        (float(one.split(" for ")[1].split()[0]) for one in warnings if "has been stalled for" in one), default=0
    )


@pytest.mark.parametrize("op", ["write", "sync"])
def test_a_target_whose_store_stands_still_for_too_long_is_out_until_it_moves(
    clusters: Clusters, tmp_path: Path, op: str
) -> None:
    with _on_faulty_store(clusters, tmp_path, "beta", "5s") as (cluster, file, writer):
        file.stall(op)
        cluster.wait_state("beta", "Behind", "Disconnected")
        [left] = _left(cluster.source, "beta")
        assert left["after"] == "Behind"
        assert "its store has been stalled for more than 5 s" in left["reason"]
        writer.wait_for_more(100)
        assert cluster.seen("gamma")["state"] == "InSync"
        file.mend()
        cluster.wait_in_sync("beta")
        _all_is_well(cluster, writer, "beta")
