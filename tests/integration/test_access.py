"""Who is let in: nodes of this mirror by their keys, each under its own name, and nobody else, whatever they send."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zmq

from dkrepl.core.protocol import frames, messages
from dkrepl.errors import NodeKeyError
from dkrepl.io.state import node_keys
from dkrepl.io.state.node_keys import NodeKeys
from dkrepl.io.state.paths import Paths
from tests.integration.harness.applications import Fio, run
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.hostile import (
    Recorder,
    announce_too_much,
    answer_to,
    dealer,
    half_open,
    hello,
    hostile_frames,
    replay,
    throw_bytes,
)
from tests.integration.harness.node import Node
from tests.lab.waiting import wait_for

pytestmark = pytest.mark.root
SILENCE = 1500  # ms in which an answer would have come


@pytest.fixture
def stranger(tmp_path: Any) -> NodeKeys:
    """Keys that no description names."""
    return node_keys.generate(Paths(etc=tmp_path / "stranger"))


def refused(node: Node, *reasons: str) -> int:
    status = node.status()
    assert status is not None
    counters = status["counters"]
    assert counters["peers_refused"] == sum(counters["peers_refused_for"].values())
    return sum(counters["peers_refused_for"].get(reason, 0) for reason in reasons)


def wait_refused(node: Node, more_than: int, *reasons: str) -> None:
    wait_for(lambda: refused(node, *reasons), lambda count: count > more_than, f"{node.name} counts {reasons}")


@contextlib.contextmanager
def undisturbed(cluster: Cluster) -> Iterator[None]:
    """Meanwhile an application writes and reads back; nobody leaves the stream, and memory stays bounded."""
    before = {node.name: node.status() for node in cluster.nodes.values()}
    fio = Fio(cluster.device, "--bsrange=4k-64k", "--size=16m", "--rate=8m")
    try:
        yield
        fio.finish()
    finally:
        fio.end()
    for node in cluster.nodes.values():
        old, new = before[node.name], node.status()
        assert old is not None
        assert new is not None
        assert new["process"]["rss_bytes"] - old["process"]["rss_bytes"] < 64 * MIB
        assert new["process"]["pid"] == old["process"]["pid"]
        for one, other in zip(old.get("targets", ()), new.get("targets", ()), strict=True):
            assert (other["state"], other["resent_bytes"]) == ("InSync", one["resent_bytes"])
    cluster.settle()
    cluster.assert_equal()


def say_hello(cluster: Cluster, port: int, identity: str, keys: NodeKeys | None, server: Node, name: str) -> bool:
    """Say Hello and Ask under a name; return whether anybody answers."""
    record = next(iter(cluster.targets)).metadata()
    with dealer(port, identity, keys, server.keys) as peer:
        peer.setsockopt(zmq.RCVTIMEO, SILENCE)
        peer.setsockopt(zmq.LINGER, 0)
        peer.send(messages.encode(hello(record, name)))
        peer.send(messages.encode(messages.Ask(name, record.mirror, record.mirror_id)))
        try:
            peer.recv()
        except zmq.Again:
            return False
        return True


def rest(peer: zmq.Socket[bytes]) -> Iterator[messages.AnyMessage | frames.Ack]:
    """What is still said, until nothing is."""
    with contextlib.suppress(zmq.Again):
        while True:
            yield messages.decode(peer.recv())


def listens(cluster: Cluster, keys: NodeKeys | None) -> bool:
    """Subscribe to everything of the stream, let something be written; return whether anything is heard."""
    with dealer(cluster.ports["alpha"][1], "", keys, cluster.source.keys, zmq.SUB) as peer:
        peer.setsockopt(zmq.RCVTIMEO, SILENCE)
        peer.setsockopt(zmq.LINGER, 0)
        for mask in range(1, 64):
            peer.setsockopt(zmq.SUBSCRIBE, frames.topic(0, mask))
        deadline = time.monotonic() + SILENCE / 1000
        while time.monotonic() < deadline:
            run("fio", "--name=w", f"--filename={cluster.device}", "--rw=write", "--bs=4k", "--size=64k", "--direct=1")
        try:
            peer.recv()
        except zmq.Again:
            return False
        return True


def test_who_has_a_key_is_let_in_everywhere(shared: Cluster) -> None:
    """Otherwise the tests below would show nothing."""
    alpha, beta = shared.source, shared.nodes["beta"]
    gamma = shared.nodes["gamma"]
    assert say_hello(shared, shared.ports["alpha"][0], "beta/x", beta.keys, alpha, "beta")
    assert say_hello(shared, shared.ports["gamma"][0], "beta/x", beta.keys, gamma, "beta")
    gamma.stop()
    try:
        assert listens(shared, gamma.keys)
    finally:
        gamma.start()
    shared.settle()


@pytest.mark.parametrize("whose", ["nobody", "another mirror", "no key", "another server"])
def test_a_stranger_gets_in_nowhere(shared: Cluster, stranger: NodeKeys, tmp_path: Any, whose: str) -> None:
    """Not to the control channel, not to the stream, not to the control port of a target; whatever name it gives."""
    alpha, gamma = shared.source, shared.nodes["gamma"]
    keys: NodeKeys | None = stranger
    if whose == "another mirror":
        with contextlib.closing(Cluster(tmp_path / "other", initialise=False)) as other:
            keys = other.nodes["beta"].keys
    server = gamma if whose == "another server" else alpha
    reason = "unknown_key"
    if whose in ("no key", "another server"):
        keys = None if whose == "no key" else shared.nodes["beta"].keys
        reason = "handshake"
    before = refused(alpha, reason)
    at_target = refused(gamma, reason)
    with undisturbed(shared):
        for name in ("beta", "alpha", "nobody"):
            assert not say_hello(shared, shared.ports["alpha"][0], f"{name}/x", keys, server, name)
        if whose != "another server":
            assert not listens(shared, keys)
            assert not say_hello(shared, shared.ports["gamma"][0], "beta/x", keys, gamma, "beta")
            wait_refused(gamma, at_target, reason)
    wait_refused(alpha, before + 2, reason)
    event = alpha.wait_for_event("peer_refused", reason=reason)
    if reason == "unknown_key":
        assert event["address"].endswith("127.0.0.1")
        assert event["public_key"] != ""


def test_a_node_speaks_under_its_own_name_only(shared: Cluster) -> None:
    alpha, gamma = shared.source, shared.nodes["gamma"]
    before, told = refused(alpha, "wrong_name"), len(alpha.logged("target_refused"))
    with undisturbed(shared):
        for identity in ("beta/x", "beta", "/gamma", "gammax/1", "\xff/1", "gamm"):
            assert not say_hello(shared, shared.ports["alpha"][0], identity, gamma.keys, alpha, "beta")
        assert not say_hello(shared, shared.ports["beta"][0], "alpha/x", gamma.keys, shared.nodes["beta"], "alpha")
    wait_refused(alpha, before + 5, "wrong_name")
    wait_refused(shared.nodes["beta"], 0, "wrong_name")
    assert len(alpha.logged("target_refused")) == told
    assert alpha.wait_for_event("peer_refused", reason="wrong_name", claimed="beta")["public_key"] == (
        gamma.keys.public_text
    )


def test_what_was_recorded_says_nothing_a_second_time(shared: Cluster) -> None:
    """A conversation of beta's is recorded and said again; and each piece of another is said twice."""
    alpha, beta = shared.source, shared.nodes["beta"]
    recorder = Recorder(shared.ports["alpha"][0])
    try:
        message = hello(beta.metadata(), "beta")
        with dealer(recorder.port, "beta/another", beta.keys, alpha.keys) as peer:
            assert isinstance(answer_to(peer, message), messages.Refuse)
        told = len(alpha.logged("target_refused"))
        assert len(recorder.said[0]) > 500
        before = refused(alpha, "handshake")
        with undisturbed(shared):
            for _ in range(30):
                replay(shared.ports["alpha"][0], recorder.said[0])
            recorder.twice = True
            with dealer(recorder.port, "beta/another", beta.keys, alpha.keys) as peer:
                peer.setsockopt(zmq.RCVTIMEO, SILENCE)
                peer.send(messages.encode(message))
                with contextlib.suppress(zmq.Again):
                    peer.recv()
        wait_refused(alpha, before + 29, "handshake")
        assert len(alpha.logged("target_refused")) - told <= 1
    finally:
        recorder.close()


def test_floods_before_the_handshake_are_refused_and_leave_nothing(shared: Cluster) -> None:
    ports = [*shared.ports["alpha"], shared.ports["gamma"][0]]
    alpha, gamma = shared.source, shared.nodes["gamma"]
    before = refused(alpha, "handshake"), refused(gamma, "handshake")
    files = {node.name: node.present_status()["process"]["open_files"] for node in (alpha, gamma)}
    with undisturbed(shared):
        for port in ports:
            throw_bytes(port, 100)
            announce_too_much(port)
            with half_open(port, 100):
                status = shared.source.status()
                assert status is not None
    wait_refused(alpha, before[0] + 300, "handshake")
    wait_refused(gamma, before[1] + 150, "handshake")
    for node in (alpha, gamma):
        most = files[node.name] + 8
        node.wait_until(lambda status, most=most: status["process"]["open_files"] <= most, "it has closed them all")


def subscribe_too_much(cluster: Cluster, keys: NodeKeys, length: int) -> int:
    """Subscribe to thousands of long topics; return how many of all such were refused."""
    with dealer(cluster.ports["alpha"][1], "", keys, cluster.source.keys, zmq.SUB) as peer:
        peer.setsockopt(zmq.LINGER, 0)
        for number in range(20_000):
            peer.setsockopt(zmq.SUBSCRIBE, number.to_bytes(3, "big").rjust(length, b"x"))
        peer.poll(1000)
        return refused(cluster.source, "foreign_topic")


def wait_more(count: Callable[[], int], before: int) -> None:
    wait_for(count, lambda seen: seen > before, "it is thrown out")


def test_floods_of_a_node_are_bounded(shared: Cluster) -> None:
    """One that has a key: malformed and oversized frames at every port, and subscriptions to the whole alphabet."""
    alpha, beta, gamma = (shared.nodes[name] for name in ("alpha", "beta", "gamma"))
    gamma.stop()
    shared.wait_state("gamma", "Disconnected")
    control, _ = shared.ports["alpha"]
    before = refused(alpha, "foreign_topic")
    rss = alpha.present_status()["process"]["rss_bytes"]
    try:
        for port, server in ((control, alpha), (shared.ports["beta"][0], beta)):
            begun = server.present_status()["counters"]["frames_refused"]
            with dealer(port, "gamma/x", gamma.keys, server.keys) as peer:
                for parts in itertools.islice(hostile_frames(3), 500):
                    peer.send_multipart(parts)
                server.wait_until(
                    lambda status, begun=begun: status["counters"]["frames_refused"] > begun + 200,
                    "it counts what it refuses",
                )
                for _ in range(5):
                    peer.send(bytes(frames.MAX_CONTROL + 1000))
        for length in (400, 3):
            # Disconnected at once, and not let in again for ten seconds.
            wait_more(partial(subscribe_too_much, shared, gamma.keys, length), before)
            before = refused(alpha, "foreign_topic")
        assert beta.present_status()["state"] == "InSync"
        assert alpha.present_status()["process"]["rss_bytes"] - rss < 128 * MIB
        shared.settle("beta")
    finally:
        gamma.start()
    shared.settle()  # once it is let in again
    shared.assert_equal()


def test_a_node_has_one_connection_to_the_stream(shared: Cluster) -> None:
    """Who piles them up loses the older ones, so that what waits for one node stays bounded."""
    alpha, gamma = shared.source, shared.nodes["gamma"]
    gamma.stop()
    shared.wait_state("gamma", "Disconnected")
    files = alpha.present_status()["process"]["open_files"]
    try:
        with contextlib.ExitStack() as held:
            for _ in range(20):
                peer = held.enter_context(dealer(shared.ports["alpha"][1], "", gamma.keys, alpha.keys, zmq.SUB))
                peer.setsockopt(zmq.RECONNECT_IVL, -1)
                peer.setsockopt(zmq.SUBSCRIBE, frames.topic(0, 3))
            alpha.wait_until(lambda status: status["process"]["open_files"] <= files + 6, "one is left")
    finally:
        gamma.start()
    shared.settle()


def test_a_key_is_replaced_without_leaving_the_stream_and_the_old_one_is_worth_nothing(clusters: Clusters) -> None:
    cluster = clusters.make()
    alpha, gamma = cluster.source, cluster.nodes["gamma"]
    old, new = gamma.keys, node_keys.generate(gamma.paths, node_keys.NEXT)

    def describe(**keys: str) -> None:
        cluster.node_keys["gamma"] = "\n".join(f'{key} = "{value}"' for key, value in keys.items())
        for node in cluster.nodes.values():
            cluster.describe(node)
            node.ask("reload")

    with undisturbed(cluster):
        describe(next_public_key=new.public_text)
    assert not alpha.logged("peer_refused")
    assert say_hello(cluster, cluster.ports["alpha"][0], "gamma/x", new, alpha, "gamma")
    node_keys.replace(gamma.paths)
    gamma.stop()
    gamma.start()
    cluster.wait_in_sync()
    with dealer(cluster.ports["alpha"][0], "gamma/old", old, alpha.keys) as peer:
        assert isinstance(answer_to(peer, hello(gamma.metadata(), "gamma")), messages.Refuse)  # DuplicateName
        gamma.keys = new
        with undisturbed(cluster):
            describe()
        peer.setsockopt(zmq.RCVTIMEO, SILENCE)
        peer.send(messages.encode(hello(gamma.metadata(), "gamma")))
        heard = [message for message in rest(peer) if isinstance(message, messages.Refuse)]
        assert not heard, "although it was connected"
    wait_refused(alpha, 0, "wrong_name", "unknown_key")
    assert not say_hello(cluster, cluster.ports["alpha"][0], "gamma/x", old, alpha, "gamma")


def test_the_source_gets_a_new_key_and_its_targets_find_it(clusters: Clusters) -> None:
    cluster = clusters.make(targets=[("gamma", "async")])
    alpha = cluster.source
    new = node_keys.generate(alpha.paths, node_keys.NEXT)
    cluster.node_keys["alpha"] = f'next_public_key = "{new.public_text}"'
    for node in cluster.nodes.values():
        cluster.describe(node)
        node.ask("reload")
    cluster.settle()
    node_keys.replace(alpha.paths)
    alpha.stop()
    alpha.start()
    cluster.wait_in_sync()
    run("fio", "--name=w", f"--filename={cluster.device}", "--rw=write", "--bs=64k", "--size=4m", "--direct=1")
    alpha.keys, cluster.node_keys["alpha"] = new, ""
    with undisturbed(cluster):
        for node in cluster.nodes.values():
            cluster.describe(node)
            node.ask("reload")


def test_a_reload_takes_up_keys_and_nothing_else(shared: Cluster) -> None:
    gamma = shared.nodes["gamma"]
    shared.describe(gamma, resync_rate="1MiB/s")
    try:
        with pytest.raises(Exception, match="more than keys has changed"):
            gamma.ask("reload")
    finally:
        shared.describe(gamma)
    gamma.ask("reload")


def test_without_its_key_or_with_another_a_node_does_not_start(clusters: Clusters) -> None:
    cluster = clusters.make(start=False, targets=[("gamma", "async")])
    gamma = cluster.nodes["gamma"]
    secret = gamma.paths.keys / node_keys.CURRENT
    kept = secret.read_text()
    secret.unlink()
    gamma.start(ready=False)
    assert gamma.exit_code() == NodeKeyError.exit_code
    assert "run `dkrepl key generate`" in gamma.last_words()
    node_keys.generate(gamma.paths)
    gamma.start(ready=False)
    assert gamma.exit_code() == NodeKeyError.exit_code
    assert "write what `dkrepl key show` prints there" in gamma.last_words()
    secret.write_text(kept)
    cluster.start()
    assert kept.strip() not in "".join(node.log.read_text() for node in cluster.nodes.values())


def test_security_is_off_only_loudly(clusters: Clusters) -> None:
    cluster = clusters.make(targets=[("gamma", "async")], security="none")
    for node in cluster.nodes.values():
        status = node.status()
        assert status is not None
        assert any('security is "none"' in warning for warning in status["warnings"])
        assert node.logged("security_off")[0]["level"] == "warning"
    assert say_hello(cluster, cluster.ports["alpha"][0], "anybody/x", None, cluster.source, "anybody")


def connects(path: str, uid: int, groups: list[int]) -> bool:
    """Whether a process of that user and these groups can connect to a Unix socket."""
    child = os.fork()  # and not another interpreter, which that user may be unable to read
    if child == 0:
        code = 2
        try:
            os.setgroups(groups)
            os.setgid(uid)
            os.setuid(uid)
            socket.socket(socket.AF_UNIX).connect(path)
            code = 0
        except PermissionError:
            code = 1
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 1)
    return code == 0


def test_the_control_socket_is_for_root_and_its_group(clusters: Clusters) -> None:
    cluster = clusters.make(start=False, targets=[("gamma", "async")])
    node = cluster.nodes["gamma"]
    group, nobody = 54321, 65534
    # As sysusers.d and tmpfiles.d make it, somewhere that everybody can look into.
    with tempfile.TemporaryDirectory(prefix="dkrepl-") as directory:
        os.chmod(directory, 0o755)
        run_ = Path(directory) / "run"
        run_.mkdir()
        os.chown(run_, 0, group)
        run_.chmod(0o2750)
        node.paths = dataclasses.replace(node.paths, run=run_)
        node.start()
        path = node.paths.socket("r0")
        found = path.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o660, 0, group)
        assert connects(str(path), nobody, [group])
        assert not connects(str(path), nobody, [])
        run_.chmod(0o2755)  # even if somebody opens the directory
        assert not connects(str(path), nobody, [])
        node.stop()
