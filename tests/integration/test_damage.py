"""Files of the state directory are damaged: said, never used, and answered with the resync that is safe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dkrepl.errors import MetadataError
from tests.integration.harness.applications import run
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.node import Node
from tests.integration.harness.writer import Writer

pytestmark = pytest.mark.root

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def stopped(module_clusters: Clusters) -> Cluster:
    """A mirror with a full device; the tests find its source stopped, and stop it again."""
    cluster = module_clusters.make(targets=[("gamma", "async")], size=16 * MIB, extent="1MiB")
    run("fio", "--name=fill", f"--filename={cluster.device}", "--rw=write", "--bs=1m", "--direct=1")
    cluster.settle()
    assert cluster.source.stop() == 0
    return cluster


def _flip(offset: int) -> Damage:
    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[offset] ^= 0x10
        path.write_bytes(content)

    return flip


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4096])


def _zero_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8192:12288] = bytes(4096)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        pytest.param("gamma.bitmap", _flip(4096 + 2 * 15), id="a-bit-of-an-idle-extent"),
        pytest.param("gamma.bitmap", _flip(20), id="the-header"),
        pytest.param("gamma.bitmap", _flip(8192 + 4 * 15), id="a-seal"),
        pytest.param("gamma.bitmap", _truncate, id="truncated"),
        pytest.param("gamma.bitmap", _zero_page, id="a-page-of-zeros"),
        pytest.param("gamma.bitmap", Path.unlink, id="missing"),
        pytest.param("gamma.bitmap", lambda path: path.write_bytes(b""), id="empty"),
        pytest.param("active", _flip(100), id="the-active-record"),
        pytest.param("active", _flip(8192 + 100), id="the-other-slot-of-the-active-record"),
        pytest.param("active", Path.unlink, id="the-active-record-is-missing"),
        pytest.param("active", lambda path: path.write_bytes(b"\0" * 16384), id="the-active-record-is-zeros"),
    ],
)
def test_a_damaged_intent_log_is_told_and_means_a_full_resync(stopped: Cluster, file: str, damage: Damage) -> None:
    damage(stopped.source.state_dir / "intent" / file)
    told = len(stopped.source.logged("bitmap_damaged"))
    stopped.source.start()
    stopped.settle()
    event = stopped.source.logged("bitmap_damaged")[told]
    assert (event["target"], event["level"]) == ("gamma", "error")
    assert stopped.seen("gamma")["last_resync"]["kind"] == "full"
    assert stopped.seen("gamma")["resent_bytes"] == stopped.size
    stopped.assert_equal()
    assert stopped.source.stop() == 0


@pytest.mark.parametrize("crash", [False, True])
def test_an_intent_log_that_is_whole_is_not_called_damaged(stopped: Cluster, crash: bool) -> None:
    told = len(stopped.source.logged("bitmap_damaged"))
    if crash:
        stopped.source.start()
        run("fio", "--name=one", f"--filename={stopped.device}", "--rw=randwrite", "--bs=4k", "--size=1m", "--direct=1")
        stopped.source.kill()
    stopped.source.start()
    stopped.settle()
    assert len(stopped.source.logged("bitmap_damaged")) == told
    assert stopped.seen("gamma")["resent_bytes"] <= crash * 2 * MIB
    assert stopped.source.stop() == 0


def test_a_damaged_metadata_record_stops_the_daemon_before_it_touches_anything(stopped: Cluster) -> None:
    node = stopped.source
    path = node.state_dir / "node"
    good = path.read_bytes()
    for bad in (good[:-10], good.replace(b'"size"', b'"sizo"'), b"", good[:40] + b"\xff" + good[41:]):
        path.write_bytes(bad)
        before = _state(node)
        node.start(ready=False)
        assert node.exit_code() == MetadataError.exit_code
        assert _state(node) == before
        assert node.last_words().startswith("dkrepl: ")
        assert str(path) in node.last_words()
    path.write_bytes(good)


def test_metadata_of_a_newer_version_is_refused(stopped: Cluster) -> None:
    record = stopped.source.metadata()
    stopped.source.set_metadata(msgspec.structs.replace(record, format=99))
    stopped.source.start(ready=False)
    assert stopped.source.exit_code() == MetadataError.exit_code
    assert "upgrade this node" in stopped.source.last_words()
    stopped.source.set_metadata(record)


def test_a_target_with_metadata_from_a_backup_is_copied_in_full(clusters: Clusters) -> None:
    cluster = clusters.make(targets=[("gamma", "async")])
    gamma = cluster.nodes["gamma"]
    old = (gamma.state_dir / "node").read_bytes()
    writer = Writer(cluster.device, 0, 16 * MIB)
    writer.wait_for_more(100)
    gamma.kill()
    cluster.wait_state("gamma", "Disconnected")
    gamma.start()
    cluster.wait_in_sync()
    gamma.kill()
    writer.stop()
    (gamma.state_dir / "node").write_bytes(old)
    gamma.start()
    cluster.settle()
    assert cluster.seen("gamma")["last_resync"]["kind"] == "full"
    cluster.assert_equal()


def test_a_target_with_a_store_from_nowhere_is_copied_in_full(clusters: Clusters) -> None:
    cluster = clusters.make(targets=[("gamma", "async")])
    run("fio", "--name=fill", f"--filename={cluster.device}", "--rw=write", "--bs=1m", "--size=16m", "--direct=1")
    gamma = cluster.nodes["gamma"]
    gamma.kill()
    cluster.wait_state("gamma", "Disconnected")
    (gamma.state_dir / "node").unlink()
    gamma.store.write_bytes(b"something else" * 1000)
    with gamma.store.open("r+b") as store:
        store.truncate(cluster.size)
    gamma.initialise(overwrite_data=True)
    gamma.start()
    cluster.settle()
    assert cluster.seen("gamma")["last_resync"]["kind"] == "full"
    cluster.assert_equal()


def _state(node: Node) -> dict[str, bytes]:
    files = {str(path): path.read_bytes() for path in node.state_dir.rglob("*") if path.is_file()}
    return files | {"store": node.store.read_bytes()}
