"""A mirror of real daemons on this host: a source, targets, and the links between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.integration.harness.link import Link
from tests.integration.harness.node import MIRROR, Node
from tests.integration.harness.ports import free_port
from tests.lab.waiting import LONG

MIB = 1 << 20
_FORBIDDEN = ("Traceback", "unexpected:", "Assertion")
_SHOWN = 60  # lines of each log, when a test fails


class Cluster:
    """``targets`` are pairs of name and mode. The nodes' daemons are not started yet."""

    def __init__(
        self,
        directory: Path,
        targets: Sequence[tuple[str, str]] = (("beta", "sync"), ("gamma", "async")),
        size: int = 64 * MIB,
        linked: bool = False,
        initialise: bool = True,
        node_keys: dict[str, str] | None = None,
        addresses: dict[str, str] | None = None,
        **keys: Any,
    ) -> None:
        """``linked``: every target reaches the source through a ``Link``. ``keys``: of the description.

        ``node_keys``: further lines of the description for a node, by its name. ``addresses``: of nodes that are not at
        127.0.0.1.
        """
        self.size = size
        self.modes = {"alpha": "sync", **dict(targets)}
        self.keys = {"size": size, "source": "alpha", "peer_timeout": "3s", **keys}
        self.node_keys = node_keys or {}
        self.addresses = addresses or {}
        self.nodes = {name: Node(name, directory / name) for name in self.modes}
        self.ports = {name: (free_port(), free_port()) for name in self.modes}
        self.links = {name: Link(*self.ports["alpha"]) for name, _ in targets} if linked else {}
        for node in self.nodes.values():
            self.describe(node)
        if initialise:
            for node in self.nodes.values():
                node.initialise()

    @property
    def source(self) -> Node:
        """The node that is source at first."""
        return self.nodes["alpha"]

    @property
    def targets(self) -> list[Node]:
        """The others."""
        return [node for node in self.nodes.values() if node.name != "alpha"]

    @property
    def device(self) -> Path:
        """The device on the source."""
        return self.source.device

    def describe(self, node: Node, **changes: Any) -> None:
        """Write the description as ``node`` sees it, with changed keys."""
        (node.paths.etc / f"{MIRROR}.toml").write_text(self.description(node.name, **changes))

    def description(self, seen_by: str, modes: Mapping[str, str] | None = None, **changes: Any) -> str:
        """Return the text of the description for one node: all see the same, but for the links' ports.

        ``modes``: the nodes in their order, with their modes, if they are others than at first.
        """
        lines = [f'name = "{MIRROR}"']
        for key, value in (self.keys | changes).items():
            lines.append(f"{key} = {value}" if isinstance(value, int) else f'{key} = "{value}"')
        for name, mode in (self.modes if modes is None else modes).items():
            node = self.nodes[name]
            control, data = self.ports[name]
            if name == "alpha" and seen_by in self.links:
                control, data = self.links[seen_by].control_port, self.links[seen_by].data_port
            address = self.addresses.get(name, "127.0.0.1")
            lines += ["[[node]]", f'name = "{name}"', f'address = "{address}"', f'store = "{node.store}"']
            lines += [f'mode = "{mode}"', f"control_port = {control}", f"data_port = {data}"]
            lines += [f'public_key = "{node.keys.public_text}"', self.node_keys.get(name, "")]
        return "\n".join(lines) + "\n"

    def start(self) -> None:
        """Start every daemon and wait until all targets are in sync."""
        for node in self.nodes.values():
            node.start(ready=False)
        for node in self.nodes.values():
            node.wait_until(lambda status: status and status["state"] != "Starting", "it serves")
        self.wait_in_sync()

    # --- states --------------------------------------------------------------------------------------

    def seen(self, target: str) -> dict[str, Any]:
        """Return what the source shows of a target now."""
        status = self.source.status()
        assert status is not None, "the source does not answer"
        assert "ended" not in status, f"the source ended: {status}"
        return _of(status, target)

    def wait_target(self, target: str, wanted: Any, what: str, seconds: float = LONG) -> dict[str, Any]:
        """Wait until the source shows a target as ``wanted``; return what it shows."""

        def look(status: dict[str, Any] | None) -> bool:
            seen = [one for one in (status or {}).get("targets", ()) if one["name"] == target]
            return bool(seen and wanted(seen[0]))

        status = self.source.wait_until(look, f"{target} {what}", seconds)
        return _of(status, target)

    def wait_state(self, target: str, *states: str, seconds: float = LONG) -> dict[str, Any]:
        """Wait until the source shows a target in one of ``states``."""
        return self.wait_target(target, lambda one: one["state"] in states, f"is {' or '.join(states)}", seconds)

    def wait_in_sync(self, *targets: str, seconds: float = LONG) -> None:
        """Wait until targets (all, if none is named) are InSync."""
        for target in targets or [node.name for node in self.targets]:
            self.wait_state(target, "InSync", seconds=seconds)

    def settle(self, *targets: str, seconds: float = LONG) -> None:
        """Wait until targets are in sync, nothing is on its way to them and no block is dirty."""
        self.source.wait_settled(*(targets or [node.name for node in self.targets]), seconds=seconds)

    def assert_equal(self, *nodes: Node) -> None:
        """Fail unless the copies (all, if no node is given) are equal to that of alpha, byte by byte."""
        self.assert_equal_to(self.source, *(nodes or self.targets))

    def assert_equal_to(self, first: Node, *others: Node) -> None:
        """Fail unless the copies of ``others`` are equal to that of ``first``, byte by byte."""
        for node in others:
            differences = first_differences(first, node)
            assert not differences, f"{node.name} and {first.name} differ at {differences}"

    def logs(self) -> list[tuple[str, str]]:
        """Return (title, newest lines) of each node's log."""
        return [
            (f"log of {name}", "\n".join(node.log.read_text(errors="replace").splitlines()[-_SHOWN:]))
            for name, node in self.nodes.items()
            if node.log.exists()
        ]

    # --- the end -------------------------------------------------------------------------------------

    def close(self) -> None:
        """End everything; fails if a log holds what no log may."""
        for node in self.nodes.values():
            node.clean()
        for link in self.links.values():
            link.close()
        found = []
        for node in self.nodes.values():
            text = node.log.read_text(errors="replace") if node.log.exists() else ""
            found += [f"{node.name}: {word}" for word in _FORBIDDEN if word in text]
        assert not found, f"in the logs: {', '.join(found)}"


def _of(status: dict[str, Any], target: str) -> dict[str, Any]:
    return next(one for one in status["targets"] if one["name"] == target)


def first_differences(one: Node, other: Node, most: int = 10) -> list[int]:
    """Return the offsets of the first pages in which two copies differ."""
    found: list[int] = []
    with one.store.open("rb") as left, other.store.open("rb") as right:
        offset = 0
        while len(found) < most:
            a, b = left.read(MIB), right.read(MIB)
            if not a and not b:
                break
            if a != b:
                pages = range(0, max(len(a), len(b)), 4096)
                found += [offset + at for at in pages if a[at : at + 4096] != b[at : at + 4096]]
            offset += MIB
    return found[:most]
