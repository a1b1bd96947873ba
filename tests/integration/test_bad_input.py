"""Stores, descriptions, peers and frames that do not fit: one clear refusal, nothing written, nothing disturbed."""

from __future__ import annotations

import itertools
import socket
import sys
from collections.abc import Iterator

import msgspec
import pytest
import zmq

from dkrepl.core.protocol import frames, messages
from dkrepl.errors import HostError, MetadataError, NotFound, StoreError
from tests.integration.harness.applications import Fio, fio_command, run
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.hostile import (
    announce_too_much,
    answer_to,
    crowd,
    dealer,
    hello,
    hostile_frames,
    throw_bytes,
)
from tests.integration.harness.node import Node
from tests.integration.harness.ports import free_port

pytestmark = pytest.mark.root


@pytest.fixture
def gamma_away(shared: Cluster) -> Iterator[Node]:
    """The target gamma, stopped; afterwards it is what it was, and comes back into sync."""
    gamma = shared.nodes["gamma"]
    gamma.stop()
    shared.wait_state("gamma", "Disconnected")
    shared.settle("beta")
    record = gamma.metadata()
    yield gamma
    if gamma.process is not None and gamma.process.poll() is None:
        gamma.kill()
    gamma.set_metadata(record)
    shared.describe(gamma)
    with gamma.store.open("r+b") as store:
        store.truncate(shared.size)
    gamma.start()
    shared.settle()
    shared.assert_equal()


def _refused(shared: Cluster, gamma: Node, code: str) -> str:
    """Start gamma, wait until it is refused, look that nothing was written; return the reason."""
    run("fio", "--name=w", f"--filename={shared.device}", "--rw=write", "--bs=64k", "--size=1m", "--direct=1")
    before = gamma.store.read_bytes()
    told = len(shared.source.logged("target_refused"))
    gamma.start()
    reason: str = shared.wait_state("gamma", "Refused")["reason"]
    status = gamma.wait_until(lambda status: status["state"] == "Refused", "it knows that it is refused")
    assert status["reason"] == reason
    event = shared.source.logged("target_refused")[told]
    assert (event["target"], event["code"], event["reason"]) == ("gamma", code, reason)
    assert gamma.store.read_bytes() == before
    shared.settle("beta")
    gamma.kill()
    return reason


def test_a_store_that_is_too_small_is_refused(shared: Cluster, gamma_away: Node) -> None:
    with gamma_away.store.open("r+b") as store:
        store.truncate(shared.size - 4096)
    gamma_away.start(ready=False)
    assert gamma_away.exit_code() == StoreError.exit_code
    assert f"has {shared.size - 4096} bytes, the mirror needs {shared.size}" in gamma_away.last_words()


def test_the_copy_of_another_mirror_is_refused(shared: Cluster, gamma_away: Node) -> None:
    record = gamma_away.metadata()
    gamma_away.set_metadata(msgspec.structs.replace(record, mirror_id="f" * 32))
    assert "another mirror's copy" in _refused(shared, gamma_away, "OtherMirror")


def test_a_copy_of_another_size_is_refused(shared: Cluster, gamma_away: Node) -> None:
    shared.describe(gamma_away, size=32 * MIB)
    gamma_away.set_metadata(msgspec.structs.replace(gamma_away.metadata(), size=32 * MIB))
    assert "is 33554432 bytes, the source's 67108864" in _refused(shared, gamma_away, "SizeDiffers")


def test_a_copy_with_other_blocks_is_refused(shared: Cluster, gamma_away: Node) -> None:
    shared.describe(gamma_away, block=32 << 10)
    gamma_away.set_metadata(msgspec.structs.replace(gamma_away.metadata(), block=32 << 10))
    assert "blocks of 32768 bytes" in _refused(shared, gamma_away, "BlockDiffers")


def test_unrelated_data_is_refused_and_both_generations_named(shared: Cluster, gamma_away: Node) -> None:
    record = gamma_away.metadata()
    gamma_away.set_metadata(msgspec.structs.replace(record, generation="0123456789abcdef", history=("feed" * 4,)))
    reason = _refused(shared, gamma_away, "Unrelated")
    assert "0123456789abcdef" in reason
    assert shared.source.metadata().generation in reason


@pytest.mark.parametrize("key", ["size", "block", "extent"])
def test_a_description_that_changed_since_init_is_refused(shared: Cluster, gamma_away: Node, key: str) -> None:
    shared.describe(gamma_away, **{key: {"size": 32 * MIB, "block": 32 << 10, "extent": 8 * MIB}[key]})
    gamma_away.start(ready=False)
    assert gamma_away.exit_code() == MetadataError.exit_code
    assert f"was initialised with {key} " in gamma_away.last_words()


def test_a_node_that_the_source_does_not_know_is_refused(clusters: Clusters) -> None:
    """Without keys, that is; by its key it would not come so far (test_access.py)."""
    cluster = clusters.make(start=False, targets=[("gamma", "async")], security="none")
    cluster.source.start()
    gamma = cluster.nodes["gamma"]
    text = cluster.description("gamma").replace('name = "gamma"', 'name = "delta"')
    (gamma.paths.etc / "r0.toml").write_text(text)
    gamma.set_metadata(msgspec.structs.replace(gamma.metadata(), node="delta"))
    gamma.name = "delta"
    gamma.start()
    status = gamma.wait_until(lambda status: status["state"] == "Refused", "it is refused")
    assert status["reason"].startswith("delta is not a node of r0 in the description on alpha; make the descriptions")
    assert cluster.source.wait_for_event("target_refused", target="delta")["code"] == "UnknownNode"


def test_a_node_that_is_not_described_does_not_start(shared: Cluster, gamma_away: Node) -> None:
    gamma_away.name = "epsilon"
    try:
        gamma_away.start(ready=False)
        assert gamma_away.exit_code() == NotFound.exit_code
    finally:
        gamma_away.name = "gamma"
    assert "alpha, beta, gamma" in gamma_away.last_words()


@pytest.mark.parametrize(("lowest", "highest", "code"), [(7, 9, "TooNew"), (0, 0, "TooOld")])
def test_another_protocol_version_is_refused(
    shared: Cluster, gamma_away: Node, lowest: int, highest: int, code: str
) -> None:
    with dealer(shared.ports["alpha"][0], "gamma/1", gamma_away.keys, shared.source.keys) as peer:
        message = hello(gamma_away.metadata(), "gamma")
        found = answer_to(peer, msgspec.structs.replace(message, protocol_min=lowest, protocol_max=highest))
        assert isinstance(found, messages.Refuse)
        assert found.code == code
        assert "upgrade the older" in found.text
        assert shared.seen("gamma")["state"] == "Refused"
    assert shared.source.wait_for_event("target_refused", target="gamma", code=code)


def test_a_confirmation_of_what_was_never_sent_evicts_its_sender(shared: Cluster, gamma_away: Node) -> None:
    """A hostile gamma joins and claims the future: no bit is cleared, no memory grows, and beta goes on."""
    run("fio", "--name=w", f"--filename={shared.device}", "--rw=write", "--bs=64k", "--size=4m", "--direct=1")
    with dealer(shared.ports["alpha"][0], "gamma/1", gamma_away.keys, shared.source.keys) as peer:
        found = answer_to(peer, hello(gamma_away.metadata(), "gamma"))
        assert isinstance(found, messages.Welcome)
        peer.send(messages.encode(messages.Ready(found.epoch)))
        shared.wait_state("gamma", "Resyncing", "InSync")
        dirty = shared.seen("gamma")["dirty_blocks"]
        assert dirty == 64
        peer.send(
            frames.pack_ack(
                frames.Ack(
                    epoch=found.epoch,
                    session=found.session,
                    applied=1 << 40,
                    durable=1 << 40,
                    resync_applied=1 << 40,
                    resync_durable=1 << 40,
                )
            )
        )
        seen = shared.wait_state("gamma", "Behind", "Disconnected")
        assert seen["dirty_blocks"] == dirty
    shared.settle("beta")


def test_a_second_process_of_the_same_name_is_refused(shared: Cluster) -> None:
    beta = shared.nodes["beta"]
    with dealer(shared.ports["alpha"][0], "beta/another", beta.keys, shared.source.keys) as peer:
        for _ in range(3):
            found = answer_to(peer, hello(beta.metadata(), "beta"))
            assert isinstance(found, messages.Refuse)
            assert found.code == "DuplicateName"
            assert "stop one of them" in found.text
        peer.send(messages.encode(messages.Bye("beta")))
        peer.send(messages.encode(messages.Trouble(1, "Gap", "not mine to say")))
    assert shared.seen("beta")["state"] == "InSync"
    assert "not mine to say" not in [event["reason"] for event in shared.source.logged("target_trouble")]


def test_hostile_frames_are_refused_and_counted_and_disturb_nothing(shared: Cluster) -> None:
    status = shared.source.status()
    assert status is not None
    refused, memory = status["counters"]["frames_refused"], status["process"]["rss_bytes"]
    resent = [one["resent_bytes"] for one in status["targets"]]
    control, data = shared.ports["alpha"]
    fio = Fio(shared.device, "--bsrange=4k-64k", "--size=32m", "--rate=16m")
    try:
        for round_, incarnation in enumerate(("x", "y", "", "\x00\xff", "x" * 240, "/")):
            node = shared.targets[round_ % 2]
            with dealer(control, f"{node.name}/{incarnation}", node.keys, shared.source.keys) as peer:
                for parts in itertools.islice(hostile_frames(round_), 1000):
                    peer.send_multipart(parts)
        for port in (control, data):
            throw_bytes(port, 200)
            announce_too_much(port)
        beta = shared.nodes["beta"]
        with dealer(data, "beta", beta.keys, shared.source.keys):  # of the wrong kind for a PUB socket
            shared.source.status()
        fio.finish()
    finally:
        fio.end()
    shared.source.wait_until(
        lambda status: status and status["counters"]["frames_refused"] - refused > 4000, "it counts what it refuses"
    )
    status = shared.source.status()
    assert status is not None
    assert shared.source.logged("frame_refused")
    assert status["process"]["rss_bytes"] - memory < 48 * MIB
    assert [one["state"] for one in status["targets"]] == ["InSync", "InSync"]
    assert [one["resent_bytes"] for one in status["targets"]] == resent
    shared.settle()
    shared.assert_equal()


def test_a_subscriber_that_does_not_read_grows_the_source_to_a_bound(shared: Cluster, gamma_away: Node) -> None:
    status = shared.source.status()
    assert status is not None
    memory = status["process"]["rss_bytes"]
    with dealer(shared.ports["alpha"][1], "", gamma_away.keys, shared.source.keys, zmq.SUB) as peer:
        # Everything is subscribed, and nothing is read: what waits for this peer is bounded.
        for mask in range(1, 64):
            peer.setsockopt(zmq.SUBSCRIBE, frames.topic(0, mask))
        run("fio", "--name=w", f"--filename={shared.device}", "--rw=write", "--bs=1m", "--io_size=900m", "--direct=1")
    shared.settle("beta")
    status = shared.source.status()
    assert status is not None
    assert status["process"]["rss_bytes"] - memory < (256 + 512) * MIB, "at most so many messages wait, of 1 MiB each"


def test_a_crowd_that_takes_every_descriptor_goes_away_without_a_trace(clusters: Clusters) -> None:
    cluster = clusters.make(start=False, targets=[("gamma", "async")])
    cluster.source.start(launch=("prlimit", "--nofile=128", sys.executable))
    cluster.nodes["gamma"].start()
    cluster.wait_in_sync()
    place = [f"--filename={cluster.device}", "--size=4m", "--rw=write", "--direct=1"]
    run("fio", "--name=w", *place, "--bs=64k")
    cluster.settle()
    with crowd(cluster.ports["alpha"][0], 300):
        # No descriptor is free, and none is needed where the intent is recorded already.
        run("fio", "--name=w", *place, "--bs=4k")
    cluster.settle()
    run(*fio_command(cluster.device, "--bsrange=4k-128k", "--size=32m"))
    cluster.settle()
    cluster.assert_equal()


@pytest.mark.parametrize("index", [0, 1])
def test_a_port_that_is_taken_is_named(clusters: Clusters, index: int) -> None:
    cluster = clusters.make(start=False, targets=[("gamma", "async")])
    port = cluster.ports["alpha"][index]
    with socket.create_server(("127.0.0.1", port)):
        cluster.source.start(ready=False)
        assert cluster.source.exit_code() == HostError.exit_code
    words = cluster.source.last_words()
    assert f"port {port} of 127.0.0.1 is taken" in words
    assert ("control_port", "data_port")[index] in words
    assert free_port() != port
    cluster.start()
