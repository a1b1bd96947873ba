"""The three nodes, and the questions that the tests ask them again and again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

from demo.labs import LABS

LAB = LABS["molecule"]
MIRROR = "r0"
DEVICE = f"/dev/dkrepl/{MIRROR}"
STORE = f"/var/lib/dkrepl/{MIRROR}.img"
UNIT = f"dkrepl@{MIRROR}.service"
BLOCK = 64 * 1024
EXTENT = 4 * 1024 * 1024
MIB = 1024 * 1024
NODES = LAB.nodes
TARGETS = ("beta", "gamma")


class Node:
    """One container: runs commands in it and waits, always with a deadline, for what they say."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.host: Host = testinfra.get_host(f"podman://{LAB.container(name)}")

    def sh(self, command: str, seconds: int = 60) -> str:
        """Run a shell command that must succeed; return what it printed."""
        done = self.host.run("timeout %s bash -c %s", str(seconds), command)
        assert done.rc == 0, f"{self.name}: {command!r} ended with {done.rc}: {done.stderr or done.stdout}"
        return str(done.stdout).strip()

    def refused(self, command: str, code: int) -> str:
        """Run a shell command that must end with this exit code; return what it said."""
        done = self.host.run("timeout 60 bash -c %s", command)
        assert done.rc == code, (
            f"{self.name}: {command!r} ended with {done.rc}, not {code}: {done.stderr or done.stdout}"
        )
        return f"{done.stdout}{done.stderr}".strip()

    def status(self) -> dict[str, Any]:
        """The daemon's status; fails the test if there is none."""
        status: dict[str, Any] = json.loads(self.sh(f"dkrepl status {MIRROR} --json"))
        return status

    def target(self, name: str) -> dict[str, Any]:
        """What the source says of one target."""
        (target,) = [entry for entry in self.status()["targets"] if entry["name"] == name]
        return dict(target)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of this name since the daemon started."""
        lines = self.sh(f"dkrepl events {MIRROR} --json").splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == name]

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


@contextmanager
def device_open(source: Node) -> Iterator[None]:
    """An application that has the device open and does nothing."""
    user = f"exec -a device-user sleep 120 < {DEVICE}"
    source.sh(f"bash -c '{user}' >/dev/null 2>&1 & until pgrep -f ^device-user; do sleep 0.1; done")
    try:
        yield
    finally:
        source.sh("pkill -f ^device-user; while pgrep -f ^device-user; do sleep 0.1; done")


def in_sync(source: Node, seconds: int = 60) -> None:
    """Wait until all targets of this source are in sync."""
    source.sh(f"dkrepl wait insync {MIRROR} --timeout {seconds}s", seconds=seconds + 10)


def quiet(source: Node) -> None:
    """Flush, and wait until nothing is on its way to a target any more."""
    source.sh(f"blockdev --flushbufs {DEVICE}; sync {DEVICE}")
    in_sync(source)

    def nothing_open() -> bool:
        return all(
            target["lag_bytes"] == 0 and target["dirty_blocks"] == 0 and target["state"] == "InSync"
            for target in source.status()["targets"]
        )

    source.wait("nothing open for any target", nothing_open)


def store_hashes(nodes: Iterable[Node]) -> dict[str, str]:
    """A hash of each node's whole store, read from the store itself and not through dkrepl."""
    return {node.name: node.sh(f"sha256sum < {STORE}") for node in nodes}


def assert_equal_copies(nodes: dict[str, Node], source: str = "alpha") -> None:
    """Nothing is open, and then all stores are equal."""
    quiet(nodes[source])
    hashes = store_hashes(nodes.values())
    assert len(set(hashes.values())) == 1, hashes
