"""Everything at once: nodes die, stand still and return, links break, while applications write.

The dice are seeded, the timing is not; a failure names the seed, and the logs tell the rest. More rounds:
``CHAOS_SEED=7 CHAOS_ROUNDS=200 pytest tests/integration/test_chaos.py``.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.integration.harness.applications import run
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.writer import Writer

pytestmark = pytest.mark.root

SEED = int(os.environ.get("CHAOS_SEED", "1"))
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "25"))


@pytest.mark.timeout(120 + 5 * ROUNDS)
def test_whatever_happens_the_copies_end_equal_and_nothing_acknowledged_is_lost(clusters: Clusters) -> None:
    dice = random.Random(SEED)
    on_full = dice.choice(["block", "bitmap"])
    cluster = clusters.make(linked=True, size=32 * MIB, extent="1MiB", on_full=on_full, async_limit=32)
    writers: list[Writer] = []
    try:
        _chaos(cluster, dice, writers)
    finally:
        for writer in writers:
            writer.stop()


def _chaos(cluster: Cluster, dice: random.Random, writers: list[Writer]) -> None:
    halves = (0, 15 * MIB), (16 * MIB, 32 * MIB)
    numbers = iter(range(1, 100_000))

    def write() -> None:
        for first, end in halves:
            writers.append(Writer(cluster.device, first, end, threads=2, seed=next(numbers), flush_every=20))

    write()
    for round_ in range(ROUNDS):
        name = dice.choice(["beta", "gamma"])
        node, link = cluster.nodes[name], cluster.links[name]
        what = dice.choices(
            ["kill", "freeze", "cut", "flap", "half-open", "source", "trim", "pause", "full"],
            [6, 4, 4, 4, 2, 3, 2, 2, 1],
        )[0]
        print(f"round {round_}: {what} {name}")
        # How long the fault lasts, which the seed chooses; no state is waited for.
        rest = dice.random() * dice.choice([0.05, 0.5, 1.0])
        if what == "kill":
            node.kill()
            time.sleep(rest)
            node.start(ready=False)
        elif what == "freeze":
            node.freeze()
            time.sleep(rest)
            node.thaw()
        elif what in ("cut", "half-open"):
            (link.cut if what == "cut" else link.freeze)()
            time.sleep(rest)
            link.mend()
        elif what == "flap":
            link.flap()
            time.sleep(rest)
            link.flap()
        elif what == "trim":
            run("blkdiscard", "--offset", 15 * MIB, "--length", MIB, cluster.device)
        elif what == "pause":
            cluster.source.ask("pause", targets=[name])
            time.sleep(rest)
            cluster.source.ask("resume", targets=[name])
        elif what == "full":
            cluster.source.ask("resync", targets=[name], full=True)
        else:
            cluster.source.kill()
            for writer in writers:
                writer.join()
            time.sleep(rest)
            cluster.source.start()
            _check(cluster, writers)
            writers.clear()
            write()
    for node in cluster.nodes.values():
        if node.process is None or node.process.poll() is not None:
            node.start()
    for writer in writers:
        writer.stop()
        assert writer.error is None
    cluster.settle()
    cluster.assert_equal()
    _check(cluster, writers)


def _check(cluster: Cluster, writers: list[Writer]) -> None:
    for writer in writers:
        writer.assert_all_in(cluster.device)
