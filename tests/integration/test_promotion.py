"""Promotion on real daemons: what a dry run says is what is lost, and nothing is lost without a word."""

from __future__ import annotations

import json
import mmap
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dkrepl.errors import NotFound, Refused, UsageError
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.node import Node
from tests.integration.harness.writer import Writer
from tests.lab.pages import pattern
from tests.lab.waiting import LONG, wait_for

pytestmark = pytest.mark.root

CHUNK = 64 << 10


def _dry_run(node: Node) -> dict[str, Any]:
    code, out, err = node.cli("promote", "r0", "--dry-run", "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def _of(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in found["nodes"] if one["node"] == name)


def _misses_source(*nodes: Node) -> None:
    for node in nodes:
        node.wait_missing_source()


def _write(device: Path, count: int, first: int = 0) -> None:
    """Write ``count`` chunks one after the other, each different, and see each acknowledged."""
    buffer = mmap.mmap(-1, CHUNK)
    fd = os.open(device, os.O_WRONLY | os.O_DIRECT)
    try:
        for number in range(first, first + count):
            buffer[:] = pattern(number + 1, number * CHUNK)[:32] * (CHUNK // 32)
            assert os.pwrite(fd, buffer, number * CHUNK) == CHUNK
    finally:
        os.close(fd)


def _differing_bytes(one: Node, other: Node) -> int:
    total = 0
    with one.store.open("rb") as left, other.store.open("rb") as right:
        while a := left.read(CHUNK):
            total += CHUNK * (a != right.read(CHUNK))
    return total


def test_with_two_copies_of_each_write_the_loss_of_a_node_is_safe_and_the_dry_run_says_so(clusters: Clusters) -> None:
    cluster = clusters.make(targets=(("beta", "sync"), ("gamma", "sync")), min_copies=2)
    alpha, beta, gamma = cluster.nodes.values()
    writer = Writer(cluster.device, 0, 16 * MIB)
    writer.wait_for_more(100)
    alpha.kill()
    writer.join()
    _misses_source(beta, gamma)
    found = _dry_run(beta)
    assert (found["possible"], found["safe"], found["codes"], found["reasons"]) == (True, True, [], [])
    assert _dry_run(gamma)["recommended"] == found["recommended"]
    assert found["recommended"] == "beta"
    assert not _of(found, "alpha")["reachable"]
    assert (_of(found, "beta")["lost_bytes"], _of(found, "beta")["lost_seconds"]) == (0, 0.0)
    assert _of(found, "gamma")["reachable"]
    assert found["token"] == _dry_run(beta)["token"]

    code, out, _ = beta.cli("promote", "r0", "--dry-run")
    assert code == 0
    assert "Nothing that was acknowledged is lost: `dkrepl promote r0`" in out
    code, _, err = beta.cli("promote", "r0")
    assert code == 0, err
    beta.wait_serving()
    writer.assert_all_in(beta.device)
    assert gamma.cli("promote", "r0", "--dry-run")[0] == 0


def test_of_all_nodes_that_are_promoted_at_once_at_most_one_is_source(clusters: Clusters) -> None:
    """Four nodes with two copies of each write: two pairs of them could serve side by side."""
    cluster = clusters.make(targets=(("beta", "sync"), ("gamma", "sync"), ("delta", "sync")), min_copies=2)
    alpha, *others = cluster.nodes.values()
    _write(cluster.device, 4)
    alpha.kill()
    _misses_source(*others)

    def promoted(node: Node) -> bool:
        try:
            node.ask("promote")
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(len(others)) as pool:
        chosen = [node for node, done in zip(others, pool.map(promoted, others), strict=True) if done]
    assert len(chosen) <= 1
    if not chosen:  # they were in each other's way, which ends when those that were refused have withdrawn
        wait_for(lambda: promoted(others[0]), bool, "one can be promoted", LONG)
        chosen = [others[0]]
    [source] = chosen
    source.wait_until(lambda status: status and status.get("targets"), "it is source")
    source.wait_until(
        lambda status: status and sum(one["state"] == "InSync" for one in status["targets"]) == 2, "two follow it"
    )
    alpha.start(ready=False)
    source.wait_until(lambda status: status and all(one["state"] == "InSync" for one in status["targets"]), "all do")
    cluster.assert_equal()


def test_with_two_copies_neither_survivor_is_promoted_without_the_word_of_the_other(clusters: Clusters) -> None:
    """The one that is silent may have been in sync with the source for longer."""
    cluster = clusters.make(targets=(("beta", "sync"), ("gamma", "sync")), min_copies=2)
    alpha, beta, gamma = cluster.nodes.values()
    _write(cluster.device, 4)
    gamma.kill()
    _write(cluster.device, 4)
    alpha.kill()
    beta.kill()
    gamma.start()
    found = _dry_run(gamma)
    # Its own word, of before its restart, is worth nothing either.
    assert (found["possible"], found["safe"], found["codes"]) == (True, False, ["NoQuorum", "NotInSync"])
    assert [one["node"] for one in found["not_answered"] if one["decides"]] == ["alpha", "beta"]
    assert gamma.cli("promote", "r0")[0] == Refused.exit_code
    # As soon as beta answers it is known that it holds more.
    beta.start()
    assert "PeerNewer" in _dry_run(gamma)["codes"]
    found = _dry_run(beta)
    assert (found["safe"], found["recommended"]) == (True, "beta")


def test_with_one_copy_a_target_needs_the_word_of_the_source_or_that_it_was_off_in_time(cluster: Cluster) -> None:
    alpha, beta = cluster.source, cluster.nodes["beta"]
    _write(cluster.device, 4)
    heard = beta.wait_until(lambda status: status and status["last_heard"], "it hears the source")["last_heard"]
    alpha.kill()
    _misses_source(beta)
    found = _dry_run(beta)
    assert (found["possible"], found["safe"], found["codes"]) == (True, False, ["NoQuorum"])
    [silent] = [one for one in found["not_answered"] if one["node"] == "alpha"]
    assert silent["decides"]
    assert silent["alone_since"] >= heard["at"]
    assert "--fenced alpha" in found["remedy"]
    code, _, sentence = beta.cli("promote", "r0")
    assert code == Refused.exit_code
    assert "alpha did not answer" in sentence
    assert beta.cli("promote", "r0", "--fenced", "beta")[0] == NotFound.exit_code
    code, out, _ = beta.cli("promote", "r0", "--fenced", "alpha", "--dry-run")
    assert code == 0
    assert "if the nodes declared fenced were off in time: `dkrepl promote r0 --fenced alpha`" in out
    assert beta.cli("promote", "r0", "--fenced", "alpha")[0] == 0
    assert not beta.metadata().forced


def test_a_forced_promotion_is_remembered_until_it_is_cleared(cluster: Cluster) -> None:
    beta = cluster.nodes["beta"]
    cluster.source.kill()
    _misses_source(beta)
    beta.promote()
    assert beta.metadata().forced == ("NoQuorum",)
    beta.stop()
    beta.start(ready=False)
    beta.wait_until(lambda status: status and status["state"] == "Starting", "it asks its peers")
    beta.promote()
    status = beta.status()
    assert status is not None
    assert any("promoted by force, against NoQuorum" in warning for warning in status["warnings"])
    assert beta.cli("clear", "r0", "forced-promotion")[0] == 0
    status = beta.status()
    assert status is not None
    assert not any("force" in warning for warning in status["warnings"])


def test_a_living_source_is_never_replaced(cluster: Cluster) -> None:
    beta = cluster.nodes["beta"]
    found = _dry_run(beta)
    assert (found["possible"], found["safe"], found["recommended"]) == (False, False, None)
    code, _, err = beta.cli("promote", "r0", "--force", found["token"])
    assert code == Refused.exit_code
    assert "alpha is alive" in err
    for arguments in (["--force"], ["--force", "--json"], ["--force", "yes"], ["--dry-run", "--force", "01234567"]):
        assert beta.cli("promote", "r0", *arguments)[0] == UsageError.exit_code
    code, _, err = beta.cli("promote", "r0", "--force")
    assert "dkrepl promote MIRROR --dry-run` shows what would be lost, and prints it" in err
    assert cluster.source.cli("promote", "r0", "--dry-run")[0] == Refused.exit_code


def test_a_source_that_only_a_peer_hears_is_replaced_by_force_alone(clusters: Clusters) -> None:
    cluster = clusters.make(linked=True, peer_timeout="1s")
    beta = cluster.nodes["beta"]
    cluster.links["beta"].cut()
    _misses_source(beta)
    found = _dry_run(beta)
    assert (found["possible"], found["safe"]) == (True, False)
    assert any("gamma hears alpha" in reason for reason in found["reasons"])
    code, _, err = beta.cli("promote", "r0")
    assert code == Refused.exit_code
    assert "gamma hears alpha" in err
    # the source goes on
    _write(cluster.device, 4)
    cluster.wait_in_sync("gamma")
    again = _dry_run(beta)
    assert any("gamma holds newer data" in reason for reason in again["reasons"])
    assert again["recommended"] == "gamma"
    _write(cluster.device, 4, first=4)
    assert again["token"] == _dry_run(beta)["token"]


def test_what_an_async_target_would_lose_is_what_it_loses(clusters: Clusters) -> None:
    cluster = clusters.make(
        targets=[("beta", "async"), ("gamma", "async")], async_limit=2000, window="64MiB", peer_timeout="8s"
    )
    alpha, beta, gamma = cluster.nodes.values()
    _write(cluster.device, 16)
    cluster.settle()
    beta.freeze()
    _write(cluster.device, 320, first=16)
    written = alpha.status()
    assert written is not None
    gamma.wait_until(
        lambda status: status["last_heard"]["seq"] >= written["seq"] and status["applied_seq"] >= written["seq"],
        "it has all, and has heard that this is all",
    )
    alpha.kill()
    beta.thaw()
    _misses_source(beta, gamma)

    found = _dry_run(beta)
    lost = _of(found, "beta")
    assert lost["lost_bytes"] == _differing_bytes(alpha, beta) > 0
    assert 0 < lost["lost_seconds"] < 120
    assert _of(found, "gamma")["lost_bytes"] == _differing_bytes(alpha, gamma) == 0
    assert _of(found, "gamma")["overwritten_bytes"] == lost["lost_bytes"]
    assert found["recommended"] == "gamma"
    code, out, _ = beta.cli("promote", "r0", "--dry-run")
    assert "gamma loses least" in out
    assert f"dkrepl promote r0 --force {found['token']}" in out

    code, _, err = beta.cli("promote", "r0")
    assert code == Refused.exit_code
    assert "beta is asynchronous" in err
    assert "gamma would lose less" in err
    code, _, err = beta.cli("promote", "r0", "--force", "00000000")
    assert code == Refused.exit_code
    assert "has changed since that dry run" in err

    # a peer that goes away changes the situation
    gamma.kill()
    code, _, err = beta.cli("promote", "r0", "--force", found["token"])
    assert code == Refused.exit_code
    assert "has changed since that dry run" in err
    alone = _dry_run(beta)
    assert not _of(alone, "gamma")["reachable"]
    assert 0 <= _of(alone, "beta")["lost_bytes"] <= lost["lost_bytes"]  # the last heartbeat may not have reached it
    code, _, err = beta.cli("promote", "r0", "--force", alone["token"])
    assert code == 0, err


def test_a_target_whose_daemon_was_started_since_says_that_it_does_not_know(cluster: Cluster) -> None:
    alpha, beta, gamma = cluster.nodes.values()
    _write(cluster.device, 4)
    cluster.settle()
    alpha.kill()
    beta.kill()
    beta.start()
    _misses_source(gamma)
    found = _dry_run(beta)
    assert not found["safe"]
    assert (_of(found, "beta")["lost_bytes"], _of(found, "beta")["in_sync_as_of"]) == (None, None)
    assert found["recommended"] == "gamma"
    assert _of(found, "gamma")["in_sync_as_of"] is not None
    beta.promote()


def test_a_copy_in_the_middle_of_a_resync_is_named_as_what_it_is(clusters: Clusters) -> None:
    cluster = clusters.make(resync_rate="4MiB/s", peer_timeout="1s")
    alpha, beta, gamma = cluster.nodes.values()
    beta.kill()
    cluster.wait_state("beta", "Disconnected")
    _write(cluster.device, 300)
    beta.start()
    cluster.wait_target("beta", lambda one: one["resync"] and one["resync"]["done_bytes"] > MIB, "is being copied")
    alpha.kill()
    _misses_source(beta, gamma)
    found = _dry_run(beta)
    here = _of(found, "beta")
    assert (here["store_state"], here["lost_bytes"], here["in_sync_as_of"]) == ("Inconsistent", None, None)
    assert found["recommended"] == "gamma"
    code, _, err = beta.cli("promote", "r0")
    assert code == Refused.exit_code
    assert "in the middle of a resync" in err
    code, out, _ = beta.cli("promote", "r0", "--dry-run")
    assert "unusable: resync incomplete" in out


def test_a_former_source_that_waits_says_who_is_missing_and_is_let_go_by_token(cluster: Cluster) -> None:
    alpha, gamma = cluster.source, cluster.nodes["gamma"]
    _write(cluster.device, 4)
    cluster.settle()
    gamma.kill()
    alpha.stop()
    alpha.set_metadata(msgspec.structs.replace(alpha.metadata(), boot="an earlier one"))
    alpha.start(ready=False)
    alpha.wait_until(lambda status: status and "waiting for gamma" in status.get("reason", ""), "it says whom")
    found = _dry_run(alpha)
    assert found["reasons"] == ["gamma did not answer, and may have been promoted while this node was away"]
    assert _of(found, "alpha")["role"] == "arbitrating"
    assert _of(found, "beta")["reachable"]
    # beta is told to leave it to alpha, which has everything
    on_beta = _dry_run(cluster.nodes["beta"])
    assert any("alpha was source" in reason for reason in on_beta["reasons"])
    code, _, err = alpha.cli("promote", "r0", "--force", "00000000")
    assert code == Refused.exit_code
    code, _, err = alpha.cli("promote", "r0", "--force", found["token"])
    assert code == 0, err
    cluster.wait_in_sync("beta")
