"""Everything at once on three nodes with ``min_copies = 2``: faults, changes of role and of the description.

One round follows the other; after each all is repaired, and the account is made.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.integration.harness.applications import run
from tests.integration.harness.layout import Layout
from tests.integration.harness.network import Network
from tests.integration.harness.node import MIRROR
from tests.integration.harness.reconfigurable import Reconfigurable
from tests.integration.harness.writer import SteadyWriter
from tests.lab.waiting import wait_for

PATIENCE = 90.0  # seconds for each wait; 15 times what any of them should take
_UNUSED = 14 << 8  # pages: a place behind all that the writer writes
NODES = Layout((("alpha", "sync"), ("beta", "sync"), ("gamma", "sync")), min_copies=2)


@dataclass
class Figures:
    """What was done, and what came of it."""

    rounds: Counter[str] = field(default_factory=Counter)
    promotions: int = 0
    refused: int = 0  # promotions, before the one that was safe

    def said(self, writer: SteadyWriter) -> str:
        """Return all of it in a few lines."""
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.rounds.items()))
        return (
            f"{self.rounds.total()} rounds: {kinds}\n    {writer.count} writes answered, 0 missing, "
            f"{writer.errors} errors seen by the application, longest pause {writer.longest:.2f} s\n"
            f"    {self.promotions} promotions, all safe; refused {self.refused} times before"
        )


class Seams:
    """``mirror`` runs and is in sync; ``writer`` writes all the time."""

    def __init__(self, mirror: Reconfigurable, network: Network, writer: SteadyWriter, seed: int) -> None:
        self.figures = Figures()
        self._mirror, self._cuts, self._writer = mirror, network.partition, writer
        self._dice = random.Random(seed)
        self._kinds: dict[str, tuple[int, Callable[[], None]]] = {
            "kill": (4, self._kill),
            "stand still": (4, self._stand_still),
            "cut": (4, self._cut),
            "restart": (3, self._restart),
            "power": (3, self._power),
            "switchover": (3, self._switchover),
            "failover": (4, self._failover),
            "cut-off source": (3, self._cut_off_source),
            "mode": (2, self._mode),
            "order": (2, self._order),
            "remove and add": (2, self._remove_and_add),
            "min_copies": (2, self._min_copies),
            "full resync": (1, self._full_resync),
        }

    def round(self) -> str:
        """Do one round and repair all; fails if something is missing, or does not come back. Returns what it was."""
        kind = self._dice.choices([*self._kinds], [weight for weight, _ in self._kinds.values()])[0]
        self._writer.wait_for_more(20, PATIENCE)
        self._kinds[kind][1]()
        self._repair()
        self.figures.rounds[kind] += 1
        return kind

    # --- chosen by the dice --------------------------------------------------------------------------

    def _any(self) -> str:
        return self._dice.choice(self._mirror.layout.names)

    def _target(self) -> str:
        return self._dice.choice([node.name for node in self._mirror.targets])

    def _rest(self, longest: float) -> None:
        """Let the fault last as long as the dice say; no state is waited for."""
        time.sleep(self._dice.uniform(0.0, longest))

    # --- faults --------------------------------------------------------------------------------------

    def _kill(self) -> None:
        for _ in range(self._dice.choice((1, 1, 2, 3))):
            self._mirror.units[self._any()].kill()
            self._rest(1.0)

    def _stand_still(self) -> None:
        node = self._mirror.nodes[self._any()]
        node.freeze()
        self._rest(self._dice.choice((0.5, 3.0)))  # less than peer_timeout, or more
        node.thaw()

    def _cut(self) -> None:
        one = self._any()
        others = [name for name in self._mirror.layout.names if name != one]
        cut = self._dice.choice((self._cuts.part, self._cuts.deafen))
        cut(one, *self._dice.sample(others, self._dice.choice((1, 2))))
        if self._dice.random() < 0.3:
            self._mirror.units[self._any()].kill()
        self._rest(3.0)
        self._cuts.heal()

    def _restart(self) -> None:
        for name in self._dice.sample(self._mirror.layout.names, self._dice.choice((1, 2, 3))):
            self._mirror.units[name].restart()
            wait_for(self._mirror.nodes[name].status, lambda status: status is not None, f"{name} answers", PATIENCE)

    def _power(self) -> None:
        """Two nodes, or all, are off at once. Whichever was source serves again, for its peers answer."""
        names = self._dice.sample(self._mirror.layout.names, self._dice.choice((2, 3)))
        for name in names:
            self._mirror.units[name].lose()
        self._rest(1.5)
        self._dice.shuffle(names)
        for name in names:
            self._mirror.units[name].start()
            self._rest(0.5)

    # --- changes of role -----------------------------------------------------------------------------

    def _switchover(self) -> None:
        self._mirror.switch_over(self._target(), self._writer)

    def _failover(self) -> None:
        old, next_source = self._mirror.source.name, self._target()
        self._mirror.units[old].lose()
        if self._dice.random() < 0.3:
            self._mirror.units[self._target()].kill()
        self._rest(1.0)
        self._promote(next_source)
        self._writer.wait_for_more(20, PATIENCE)
        self._mirror.units[old].start()

    def _cut_off_source(self) -> None:
        """The source lives on, out of reach; with two copies it answers nothing, and gives way when it is back."""
        old, next_source = self._mirror.source.name, self._target()
        self._cuts.part(old, *(name for name in self._mirror.layout.names if name != old))
        self._rest(2.0)
        self._promote(next_source)
        if self._dice.random() < 0.5:
            # What its application wrote last waits for a copy, and fails when the daemon is stopped.
            self._mirror.units[old].stop()
            self._writer.wait_for_more(20, PATIENCE)
            self._mirror.units[old].start()
            self._rest(1.0)
            self._cuts.heal()
        else:
            # Every thread of the writer waits for the old source. With this write the new one has a generation of its
            # own: without it the third node may as well follow the old source again, and the new one would have to go.
            run("dd", "if=/dev/zero", f"of={self._mirror.source.device}", "bs=4k", "count=1", f"seek={_UNUSED}",
                "oflag=direct", "conv=notrunc,nocreat")  # fmt: skip
            self._cuts.heal()
            self._mirror.nodes[old].wait_until(
                lambda status: status and any("demote" in text for text in status["warnings"]),
                "the old source hears of the new one",
                PATIENCE,
            )
            found = self._mirror.nodes[old].status() or {}
            assert found.get("split_brain") is None, f"{old} could answer nothing, yet is in a split-brain: {found}"
            self._mirror.units[old].stop()
            self._mirror.units[old].start()

    def _promote(self, next_source: str) -> None:
        self.figures.refused += self._mirror.fail_over(next_source, self._writer, PATIENCE)
        self.figures.promotions += 1

    # --- changes of the description, of a mirror that is in sync ---------------------------------------

    def _take_up(self, layout: Layout) -> None:
        self._mirror.change(layout)
        names = list(layout.names)
        self._dice.shuffle(names)
        for name in names:
            self._mirror.units[name].restart()
            self._answers(name)
            self._rest(0.5)
        self._all_in_sync()

    def _answers(self, name: str) -> None:
        wait_for(self._mirror.nodes[name].status, lambda status: status is not None, f"{name} answers", PATIENCE)

    def _mode(self) -> None:
        layout = self._mirror.layout
        name = self._target()
        self._take_up(layout.with_mode(name, "async"))
        self._writer.wait_for_more(20, PATIENCE)
        self._take_up(layout)

    def _order(self) -> None:
        names = list(self._mirror.layout.names)
        self._dice.shuffle(names)
        self._take_up(self._mirror.layout.in_order(names))

    def _remove_and_add(self) -> None:
        layout = self._mirror.layout
        name = self._target()
        self._mirror.units[name].stop()
        self._take_up(layout.removing(name))
        self._writer.wait_for_more(20, PATIENCE)
        if self._dice.random() < 0.5:  # it comes back with its old description, and must stay out
            self._mirror.units[name].start()
            self._writer.wait_for_more(20, PATIENCE)
            self._mirror.units[name].stop_at_any_time()
        self._mirror.describe_as(name, layout)
        self._mirror.units[name].start()
        self._answers(name)  # a signal just ends a daemon that is not up yet
        self._take_up(layout)

    def _min_copies(self) -> None:
        for count in (1, 2):
            self._take_up(self._mirror.layout.with_min_copies(count))
            self._writer.wait_for_more(20, PATIENCE)

    def _full_resync(self) -> None:
        code, _, said = self._mirror.source.cli("resync", MIRROR, "--full", self._target())
        assert code == 0, f"the full resync was refused: {said}"

    # --- after each round ----------------------------------------------------------------------------

    def _repair(self) -> None:
        self._cuts.heal()
        for name in self._mirror.layout.names:
            process = self._mirror.nodes[name].process
            if process is None or process.poll() is not None:
                self._mirror.units[name].start()
        self._all_in_sync()
        self._mirror.account(self._writer)

    def _all_in_sync(self) -> None:
        self._mirror.wait_source(PATIENCE)
        self._mirror.wait_in_sync(seconds=PATIENCE)
        code, said, error = self._mirror.source.cli("config", "diff", MIRROR)
        assert code == 0, f"the descriptions do not agree: {said}{error}"


def keep_logs(mirror: Reconfigurable, where: Any) -> None:
    """Copy what every daemon told to ``where``, which outlives the test."""
    where.mkdir(parents=True, exist_ok=True)
    for name, node in mirror.nodes.items():
        if node.log.exists():
            (where / f"{name}.log").write_bytes(node.log.read_bytes())
