"""What the administrator asks of running daemons: pause, resync, verify, the intent log, events, waiting."""

from __future__ import annotations

import json
import os

import pytest

from dkrepl.errors import CopiesDiffer, NotFound, Refused, TimedOut
from tests.integration.harness.applications import run
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.writer import Writer
from tests.lab.pages import PAGE

pytestmark = pytest.mark.root

BLOCK = 64 << 10


def _write(cluster: Cluster, offset: int, length: int) -> None:
    place = [f"--filename={cluster.device}", f"--offset={offset}", f"--size={length}"]
    run("fio", "--name=write", *place, "--rw=write", "--bs=4k", "--direct=1", "--ioengine=libaio", "--iodepth=8")


def test_a_paused_target_gets_nothing_until_it_is_resumed(shared: Cluster) -> None:
    before = shared.seen("gamma")["resent_bytes"]
    code, out, _ = shared.source.cli("pause", "r0", "gamma", "--json")
    assert code == 0
    assert json.loads(out)["targets"] == [{"name": "gamma", "state": "Paused"}]
    shared.nodes["gamma"].wait_until(lambda status: status["state"] == "Paused", "it is paused")
    _write(shared, 4 * MIB + PAGE, 3 * BLOCK)
    seen = shared.seen("gamma")
    assert (seen["state"], seen["paused"], seen["dirty_blocks"]) == ("Paused", True, 4)

    code, out, _ = shared.source.cli("intent", "show", "r0", "gamma", "--json")
    assert code == 0
    [row] = json.loads(out)["targets"]
    assert row["ranges"] == [{"offset": 4 * MIB, "length": 4 * BLOCK}]
    assert (row["dirty_blocks"], row["dirty_bytes"], row["block"]) == (4, 4 * BLOCK, BLOCK)

    assert shared.source.cli("resume", "r0", "gamma")[0] == 0
    shared.settle()
    assert shared.seen("gamma")["resent_bytes"] - before <= 4 * BLOCK
    assert shared.seen("gamma")["last_resync"]["kind"] == "partial"
    shared.assert_equal()


def test_waiting_for_what_does_not_come_ends_with_its_own_code(shared: Cluster) -> None:
    shared.source.cli("pause", "r0", "gamma")
    code, _, err = shared.source.cli("wait", "insync", "r0", "--timeout", "500ms")
    assert code == TimedOut.exit_code
    assert "gamma is Paused (paused by the administrator)" in err
    assert shared.source.cli("wait", "insync", "r0", "beta", "--timeout", "20s")[0] == 0
    shared.source.cli("resume", "r0", "gamma")
    assert shared.source.cli("wait", "insync", "r0", "--timeout", "60s")[0] == 0
    assert shared.nodes["gamma"].cli("wait", "insync", "r0", "--timeout", "60s")[0] == 0


def test_a_pause_outlasts_a_restart_of_the_source(shared: Cluster) -> None:
    shared.source.cli("pause", "r0", "gamma")
    shared.source.kill()
    shared.source.start()
    shared.wait_in_sync("beta")
    assert shared.seen("gamma")["state"] == "Paused"
    shared.source.cli("resume", "r0", "gamma")
    shared.settle()


def test_a_full_resync_copies_every_block_while_the_device_is_written(shared: Cluster) -> None:
    run("fio", "--name=fill", f"--filename={shared.device}", "--rw=write", "--bs=1m", "--direct=1")
    shared.settle()
    before = shared.seen("beta")["resent_bytes"]
    writer = Writer(shared.device, 0, 32 * MIB)
    code, _, _ = shared.source.cli("resync", "r0", "--full", "beta")
    assert code == 0
    shared.wait_target("beta", lambda one: (one["last_resync"] or {}).get("kind") == "full", "was copied in full")
    shared.wait_in_sync()
    writer.stop()
    assert writer.error is None
    shared.settle()
    assert shared.seen("beta")["resent_bytes"] - before == shared.size
    shared.assert_equal()


def test_verify_finds_equal_copies_equal_while_they_are_written(shared: Cluster) -> None:
    writer = Writer(shared.device, 0, shared.size)
    code, out, err = shared.source.cli("verify", "r0", "--json")
    writer.stop()
    assert code == 0, err
    found = json.loads(out)["targets"]
    assert [(one["name"], one["equal"], one["compared_bytes"]) for one in found] == [
        ("beta", True, shared.size),
        ("gamma", True, shared.size),
    ]


def test_verify_finds_what_was_changed_behind_the_back_of_a_target(shared: Cluster) -> None:
    shared.settle()
    gamma = shared.nodes["gamma"]
    at = 21 * MIB + 12345
    with gamma.store.open("r+b") as store:
        byte = os.pread(store.fileno(), 1, at)
        os.pwrite(store.fileno(), bytes((byte[0] ^ 1,)), at)
    code, out, _ = shared.source.cli("verify", "r0", "--json")
    assert code == CopiesDiffer.exit_code
    beta, gamma_row = json.loads(out)["targets"]
    assert beta["equal"] is True
    assert gamma_row["equal"] is False
    [place] = gamma_row["ranges"]
    assert place["offset"] <= at < place["offset"] + place["length"]
    assert place["length"] <= MIB
    code, _, err = shared.source.cli("verify", "r0", "gamma")
    assert code == CopiesDiffer.exit_code
    assert "dkrepl resync r0 --full gamma" in err
    assert shared.source.cli("resync", "r0", "--full", "gamma")[0] == 0
    shared.wait_state("gamma", "Resyncing", "Behind", "Connecting")
    shared.settle()
    shared.assert_equal()
    assert shared.source.cli("verify", "r0")[0] == 0


def test_verify_needs_a_target_in_sync(shared: Cluster) -> None:
    shared.source.cli("pause", "r0", "gamma")
    code, _, err = shared.source.cli("verify", "r0", "gamma")
    assert code == Refused.exit_code
    assert "not InSync" in err
    shared.source.cli("resume", "r0", "gamma")
    shared.settle()


def test_events_tell_what_happened_in_order(shared: Cluster) -> None:
    shared.source.cli("pause", "r0", "gamma")
    shared.source.cli("resume", "r0", "gamma")
    shared.settle()
    code, out, _ = shared.source.cli("events", "r0", "--since", "10m", "--json")
    assert code == 0
    found = [json.loads(line) for line in out.splitlines()]
    assert [one["time"] for one in found] == sorted(one["time"] for one in found)
    states = [one["after"] for one in found if one["event"] == "target_state" and one["target"] == "gamma"]
    assert states[-5:] == ["Paused", "Disconnected", "Connecting", "Resyncing", "InSync"]
    assert all((one["mirror"], one["node"]) == ("r0", "alpha") for one in found)
    code, out, _ = shared.source.cli("events", "r0", "--since", "0s", "--json")
    assert (code, out) == (0, "")


def test_what_only_a_source_can_do_is_refused_by_a_target(shared: Cluster) -> None:
    for command in (["pause"], ["resync", "--full"], ["verify"], ["intent", "show"], ["demote"]):
        code, _, err = shared.nodes["beta"].cli(*command, "r0")
        assert code == Refused.exit_code
        assert "ask the source (alpha)" in err


def test_an_unknown_target_is_named_with_those_there_are(shared: Cluster) -> None:
    code, _, err = shared.source.cli("pause", "r0", "delta")
    assert code == NotFound.exit_code
    assert "beta, gamma" in err
