"""A mirror whose nodes may have different descriptions for a while, each under a service manager of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.layout import Layout
from tests.integration.harness.network import Network
from tests.integration.harness.node import MIRROR, Node
from tests.integration.harness.unit import Unit
from tests.integration.harness.writer import SteadyWriter
from tests.lab.waiting import LONG, wait_for


class Reconfigurable(Cluster):
    """``layout`` is how it begins, alpha is source; ``spare`` names nodes that are made, but not yet described."""

    def __init__(
        self,
        directory: Path,
        layout: Layout,
        spare: Iterable[str] = (),
        network: Network | None = None,
        size: int = 16 * MIB,
        **keys: Any,
    ) -> None:
        self._present = "alpha"
        self.layouts: dict[str, Layout] = {}  # what each node's description says
        first = dict(layout.modes)
        targets = [(name, first.get(name, "sync")) for name in (*layout.names, *spare) if name != "alpha"]
        self.layout = layout  # what they all are to say
        keys = {"peer_timeout": "1s", "extent": "1MiB"} | keys
        addresses = network.addresses if network else {}
        super().__init__(directory, targets, size, initialise=False, addresses=addresses, **keys)
        self.units = {name: Unit(node) for name, node in self.nodes.items()}
        for name, node in self.nodes.items():
            if network:
                node.within = network.within(name)
            if name in layout.names:
                node.initialise()

    @property
    def source(self) -> Node:
        """The node that is to be source now; the test says so by ``follow``."""
        return self.nodes[self._present]

    @property
    def targets(self) -> list[Node]:
        """The other nodes of the present layout."""
        return [self.nodes[name] for name in self.layout.names if name != self._present]

    def follow(self, name: str) -> None:
        """From now on ``name`` is to be source."""
        self._present = name

    # --- descriptions --------------------------------------------------------------------------------

    def describe(self, node: Node, **changes: Any) -> None:
        """Write the present layout as ``node``'s description."""
        self.describe_as(node.name, self.layout, **changes)

    def describe_as(self, name: str, layout: Layout, **changes: Any) -> None:
        """Write a layout as a node's description; its daemon takes it up when it starts."""
        self.layouts[name] = layout
        if self.keys["source"] not in layout.names:
            changes.setdefault("source", layout.names[0])  # it must be one of the nodes
        text = self.description(name, dict(layout.modes), min_copies=layout.min_copies, **changes)
        (self.nodes[name].paths.etc / f"{MIRROR}.toml").write_text(text)

    def change(self, layout: Layout) -> None:
        """Write a layout on all nodes that it has; no daemon has read it yet."""
        self.layout = layout
        for name in layout.names:
            self.describe_as(name, layout)

    # --- daemons -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start every daemon of the layout and wait until all targets are in sync."""
        for name in self.layout.names:
            self.units[name].start()
        self.wait_in_sync()

    # --- roles and accounts --------------------------------------------------------------------------

    def wait_source(self, seconds: float = LONG) -> None:
        """Wait until the node that is to be source serves its device."""
        self.source.wait_serving(seconds)

    def switch_over(self, name: str, writer: SteadyWriter | None = None) -> None:
        """Stop the application, ``dkrepl switchover``, and start it there."""
        if writer:
            writer.pause()
        code, _, said = self.source.cli("switchover", MIRROR, "--to", name)
        assert code == 0, f"the switchover from {self.source.name} to {name} ended with {code}: {said}"
        self.follow(name)
        self.wait_source()
        if writer:
            writer.resume(self.source)

    def fail_over(
        self, name: str, writer: SteadyWriter | None = None, seconds: float = LONG, fenced: Iterable[str] = ()
    ) -> int:
        """Promote ``name`` without force, again as long as it is refused; return how often it was.

        ``fenced``: nodes that are said to have been off in time.
        """
        refused = 0
        said_off = [word for node in fenced for word in ("--fenced", node)]

        def attempt() -> tuple[int, str]:
            nonlocal refused
            code, _, said = self.nodes[name].cli("promote", MIRROR, *said_off)
            refused += code == 5
            return code, said

        wait_for(attempt, lambda found: found[0] == 0, f"{name} is promoted without force", seconds, pause=0.2)
        self.follow(name)
        self.wait_source()
        if writer:
            writer.resume(self.source)
        return refused

    def account(self, writer: SteadyWriter, resume: bool = True) -> None:
        """Stop the application; all stores are equal, and hold all that was answered. Then let it go on."""
        writer.wait_for_more()
        writer.pause()
        self.wait_in_sync()
        with self.source.device.open("rb") as device:
            os.fsync(device.fileno())
        self.settle()
        self.assert_equal_to(self.source, *self.targets)
        writer.assert_all_in(self.source.device, *(self.nodes[name].store for name in self.layout.names))
        if resume:
            writer.resume()

    def close(self) -> None:
        """End everything."""
        try:
            super().close()
        finally:
            for unit in self.units.values():
                with contextlib.suppress(OSError):
                    unit.close()
