"""What a deployment leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.nodes import MIRROR, NODES, TARGETS, UNIT, Node
from support.playbook import changed, playbook
from tests.lab.status import follows

pytestmark = pytest.mark.usefixtures("settled")


@pytest.mark.parametrize("name", NODES)
def test_the_unit_is_active_and_starts_at_boot(nodes: dict[str, Node], name: str) -> None:
    service = nodes[name].host.service(UNIT)
    assert service.is_running
    assert service.is_enabled


@pytest.mark.parametrize("name", NODES)
def test_the_description_is_the_same_everywhere_and_valid(nodes: dict[str, Node], alpha: Node, name: str) -> None:
    path = f"/etc/dkrepl/{MIRROR}.toml"
    assert nodes[name].sh(f"sha256sum < {path}") == alpha.sh(f"sha256sum < {path}")
    nodes[name].sh(f"dkrepl config check {MIRROR}")


def test_the_source_serves_its_device(alpha: Node) -> None:
    status = alpha.source()
    assert (status.role, status.state, status.device) == ("source", "Serving", f"/dev/dkrepl/{MIRROR}")
    assert alpha.sh(f"blockdev --getsize64 /dev/dkrepl/{MIRROR}") == str(status.size)


def test_both_targets_are_in_sync_in_their_modes(alpha: Node) -> None:
    states = {target.name: (target.mode, target.state) for target in alpha.source().targets}
    assert states == {"beta": ("sync", "InSync"), "gamma": ("async", "InSync")}


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_knows_that_it_is_in_sync(nodes: dict[str, Node], name: str) -> None:
    assert follows(nodes[name].status(), "alpha")


def test_check_mode_finds_nothing_to_change() -> None:
    done = playbook("site.yml", "--check", "--diff")
    assert done.returncode == 0, done.stdout[-3000:]
    assert changed(done) == 0, done.stdout.partition("PLAY RECAP")[2]


def test_a_store_that_holds_something_is_left_alone_unless_told_so(nodes: dict[str, Node], tmp_path: Path) -> None:
    beta = nodes["beta"]
    beta.sh("truncate -s 64M /srv/precious.img && mkfs.ext4 -q -L precious /srv/precious.img")
    before = beta.sh("sha256sum < /srv/precious.img")
    variables = tmp_path / "variables.json"
    ports = {"control_port": 7500, "data_port": 7501}
    key = nodes["gamma"].sh("dkrepl key show").strip()  # which a run that is limited to beta does not ask for
    members = [
        {"name": "beta", "address": "10.213.72.12", "store": "/srv/precious.img", "options": ports},
        {"name": "gamma", "address": "10.213.72.13", "store": "/srv/other.img", "options": ports, "public_key": key},
    ]
    mirror = {"name": "r1", "size": "64MiB", "source": "gamma", "nodes": members}
    variables.write_text(json.dumps({"dkrepl_mirrors": [mirror]}))
    try:
        done = playbook("site.yml", "--limit", "beta", "--extra-vars", f"@{variables}")
        assert done.returncode != 0
        assert "ext4" in done.stdout
        assert beta.sh("sha256sum < /srv/precious.img") == before

        told = ["--extra-vars", "dkrepl_safe_mode=false dkrepl_mirror_wait_insync=false"]
        done = playbook("site.yml", "--limit", "beta", "--extra-vars", f"@{variables}", *told)
        assert done.returncode == 0, done.stdout[-3000:]
        status = json.loads(beta.sh("dkrepl status r1 --json"))
        assert (status["role"], status["store_state"]) == ("target", "Inconsistent")
    finally:
        beta.sh("systemctl disable --now dkrepl@r1 || true")
        beta.sh("rm -rf /etc/dkrepl/r1.toml /srv/precious.img /var/lib/dkrepl/r1")
