"""The three nodes, and the questions that the tests ask them again and again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

MIRROR = "r0"
DEVICE = f"/dev/dkrepl/{MIRROR}"
STORE = f"/var/lib/dkrepl/{MIRROR}.img"
UNIT = f"dkrepl@{MIRROR}.service"
BLOCK = 64 * 1024
EXTENT = 4 * 1024 * 1024
NODES = ("alpha", "beta", "gamma")
TARGETS = ("beta", "gamma")


class Node:
    """One container: runs commands in it and waits, always with a deadline, for what they say."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.host: Host = testinfra.get_host(f"podman://dkrepl-molecule-{name}")

    def sh(self, command: str, seconds: int = 60) -> str:
        """Run a shell command that must succeed; return what it printed."""
        done = self.host.run("timeout %s bash -c %s", str(seconds), command)
        assert done.rc == 0, f"{self.name}: {command!r} ended with {done.rc}: {done.stderr or done.stdout}"
        return str(done.stdout).strip()

    def status(self) -> dict[str, Any]:
        """The daemon's status; fails the test if there is none."""
        status: dict[str, Any] = json.loads(self.sh(f"dkrepl status {MIRROR} --json"))
        return status

    def target(self, name: str) -> dict[str, Any]:
        """What the source says of one target."""
        (target,) = [entry for entry in self.status()["targets"] if entry["name"] == name]
        return dict(target)

    def wait(self, what: str, asked: Callable[[], Any], seconds: float = 60) -> Any:
        """Ask until the answer is true and return it; a failing command counts as 'not yet'."""
        deadline = time.monotonic() + seconds
        last: Any = None
        while time.monotonic() < deadline:
            try:
                last = asked()
                if last:
                    return last
            except AssertionError as error:
                last = error
            time.sleep(0.3)
        return pytest.fail(f"{self.name}: {what} did not happen within {seconds} s; last seen: {last}")

    def main_pid(self) -> str:
        """The process of the mirror's daemon."""
        return self.sh(f"systemctl show --property MainPID --value {UNIT}")


@pytest.fixture(scope="session")
def nodes() -> dict[str, Node]:
    return {name: Node(name) for name in NODES}


@pytest.fixture(scope="session")
def alpha(nodes: dict[str, Node]) -> Node:
    return nodes["alpha"]


@pytest.fixture(autouse=True)
def settled(alpha: Node) -> Iterator[None]:
    """Every test starts with all targets in sync, whatever the one before it did."""
    in_sync(alpha)
    yield
    alpha.sh("pkill -x fio || true; umount /mnt/r0 2>/dev/null || true")


def in_sync(alpha: Node) -> None:
    alpha.sh(f"dkrepl wait insync {MIRROR} --timeout 60s", seconds=70)


def quiet(alpha: Node) -> None:
    """Flush, and wait until nothing is on its way to a target any more."""
    alpha.sh(f"blockdev --flushbufs {DEVICE}; sync {DEVICE}")
    in_sync(alpha)
    for name in TARGETS:

        def nothing_open(name: str = name) -> bool:
            target = alpha.target(name)
            return target["lag_bytes"] == 0 and target["dirty_blocks"] == 0 and target["state"] == "InSync"

        alpha.wait(f"nothing open for {name}", nothing_open)


def store_hashes(nodes: dict[str, Node]) -> dict[str, str]:
    """A hash of each node's whole store, read from the store itself and not through dkrepl."""
    return {name: node.sh(f"sha256sum < {STORE}") for name, node in nodes.items()}


def assert_equal_copies(nodes: dict[str, Node]) -> None:
    quiet(nodes["alpha"])
    hashes = store_hashes(nodes)
    assert len(set(hashes.values())) == 1, hashes
