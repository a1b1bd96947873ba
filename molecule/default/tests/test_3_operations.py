"""The playbooks for the days after the deployment."""

from __future__ import annotations

import json
import subprocess

import pytest
import yaml

from support.nodes import DEVICE, MIB, MIRROR, NODES, STORE, UNIT, Node, assert_equal_copies, in_sync, quiet
from support.playbook import PROJECT, changed, playbook
from support.writer import writing

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("settled")]

# What is deployed is a copy of the tree, made when the nodes were.
DEPLOYED = PROJECT / ".cache/molecule-source"


def test_verify_compares_the_copies_and_names_what_differs(nodes: dict[str, Node], alpha: Node) -> None:
    alpha.sh(f"dd if=/dev/urandom of={DEVICE} bs=1M count=8 oflag=direct conv=fsync,nocreat")
    quiet(alpha)
    done = playbook("verify.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    assert changed(done) == 0
    # Behind dkrepl's back, which nobody must do.
    gamma = nodes["gamma"]
    gamma.sh(f"dd if=/dev/urandom of={STORE} bs=4k seek=1024 count=1 conv=notrunc,fsync")
    done = playbook("verify.yml", "-e", f"dkrepl_mirror={MIRROR}")
    assert done.returncode != 0
    assert "gamma" in done.stdout
    assert str(4 * MIB) in done.stdout, "it must name the place"
    alpha.sh(f"dkrepl resync {MIRROR} --full gamma")
    in_sync(alpha)
    assert_equal_copies(nodes)


def test_an_upgrade_takes_one_node_after_the_other_and_applications_do_not_notice(
    nodes: dict[str, Node], alpha: Node
) -> None:
    assert changed(playbook("upgrade.yml")) == 0, "nothing is newer, so nothing may be restarted"
    nodes["gamma"].sh(f"systemctl stop {UNIT}")
    alpha.wait("gamma gone", lambda: alpha.target("gamma").state == "Disconnected")
    before = {name: nodes[name].main_pid() for name in NODES}
    release = alpha.sh("readlink -f /opt/dkrepl")
    with open(DEPLOYED / "dkrepl/__init__.py", "a") as source:
        source.write("# A newer release.\n")
    refused = playbook("upgrade.yml")
    assert refused.returncode != 0
    assert {name: nodes[name].main_pid() for name in NODES} == before, "not all is in sync, so nothing may be touched"
    assert alpha.sh("readlink -f /opt/dkrepl") == release

    nodes["gamma"].sh(f"systemctl start {UNIT}")
    in_sync(alpha)
    before = {name: nodes[name].main_pid() for name in NODES}
    load = subprocess.Popen(
        ["podman", "exec", "dkrepl-molecule-alpha", "fio", "--name=load", f"--filename={DEVICE}", "--direct=1",
         "--rw=randwrite", "--bs=4k", "--size=16m", "--iodepth=8", "--ioengine=libaio", "--rate=4m", "--verify=crc32c",
         "--verify_backlog=256", "--verify_state_save=0", "--time_based", "--runtime=400"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        alpha.wait("the load", lambda: alpha.host.process.filter(comm="fio"))
        done = playbook("upgrade.yml")
        assert done.returncode == 0, done.stdout[-3000:]
        assert load.poll() is None, "the load must have run all the time"
        alpha.sh("pkill -INT -x fio")
        said, _ = load.communicate(timeout=60)
    finally:
        load.kill()
        load.wait()
    assert "err= 0" in said, f"the application must not notice: {said[-2000:]}"
    assert {name: nodes[name].sh("readlink -f /opt/dkrepl") for name in NODES} != dict.fromkeys(NODES, release)
    for name in NODES:
        assert nodes[name].main_pid() not in (before[name], "0"), f"{name} must run the new release"
    started = [int(nodes[name].sh(f"systemctl show -P ActiveEnterTimestampMonotonic {UNIT}")) for name in NODES]
    assert started[0] > max(started[1:]), "the source comes last"
    assert changed(playbook("upgrade.yml")) == 0
    assert_equal_copies(nodes)


def test_a_changed_inventory_is_applied_to_a_mirror_in_use_and_a_second_run_changes_nothing(
    nodes: dict[str, Node], alpha: Node
) -> None:
    inventory = yaml.safe_load((PROJECT / "molecule/shared/inventory/group_vars/dkrepl.yml").read_text())
    (mirror,) = inventory["dkrepl_mirrors"]
    mirror["options"] = {}
    members = {node["name"]: node for node in mirror["nodes"]}

    def apply(*names: str, **modes: str) -> subprocess.CompletedProcess[str]:
        changed_nodes = [members[name] | {"mode": modes.get(name, members[name].get("mode", "sync"))} for name in names]
        given = json.dumps({"dkrepl_mirrors": [mirror | {"nodes": changed_nodes}]})
        return playbook("reconfigure.yml", "-e", given)

    refused = apply("beta", "gamma")
    assert refused.returncode != 0
    assert "cannot be removed" in refused.stdout
    assert {one.name for one in alpha.source().targets} == {"beta", "gamma"}
    with writing(alpha, 64 * MIB) as writer:
        writer.wait_for_more(100)
        for names, modes in ((("beta", "alpha"), {}), (("alpha", "beta", "gamma"), {"gamma": "sync"}), (NODES, {})):
            done = apply(*names, **modes)
            assert done.returncode == 0, done.stdout[-3000:]
            assert {one.name for one in alpha.source().targets} == {*names} - {"alpha"}
            if "gamma" not in names:
                assert nodes["gamma"].sh(f"systemctl is-active {UNIT} || true") == "inactive"
            writer.wait_for_more(100)
        writer.stop()
    assert not writer.errors, "the application must see a pause, and no error"
    assert changed(apply(*NODES)) == 0
    assert not writer.missing_on(alpha)
    assert_equal_copies(nodes)
