"""Faults, changes of role and changes of the description in a random order, for 20 minutes or ``SEAMS_SECONDS``.

After each round everything is in sync again, all copies are equal, and nothing that was answered is missing (R4, R7,
R11, R14). ``SEED`` repeats the schedule; the timing is the machine's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.harness.cluster import MIB
from tests.integration.harness.fixtures import Clusters
from tests.integration.harness.network import network
from tests.integration.harness.node import ROOT
from tests.integration.harness.reconfigurable import Reconfigurable
from tests.integration.harness.seams import NODES, Seams, keep_logs
from tests.integration.harness.writer import SteadyWriter
from tests.lab.seeds import seed_for

SECONDS = float(os.environ.get("SEAMS_SECONDS", "1200"))

pytestmark = [pytest.mark.root, pytest.mark.timeout(SECONDS + 600)]


def test_nothing_that_was_answered_is_lost_whatever_happens_in_whatever_order(
    clusters: Clusters, tmp_path: Path, request: pytest.FixtureRequest, say: Callable[[str], None]
) -> None:
    seed = seed_for(request.node.nodeid, say)
    writer: SteadyWriter | None = None
    kept = ROOT / ".cache" / "seams-logs" / str(seed)
    with network(NODES.names) as net:
        mirror = Reconfigurable(tmp_path / "mirror", NODES, network=net)
        try:
            mirror.start()
            writer = SteadyWriter(mirror.source, MIB, 12 * MIB, seed=seed)
            seams = Seams(mirror, net, writer, seed)
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline:
                say(f"round {seams.figures.rounds.total() + 1}: {seams.round()}")
            say(seams.figures.said(writer))
        except BaseException:
            keep_logs(mirror, kept)
            say(f"the daemons' logs are kept in {kept}")
            raise
        finally:
            mirror.close()
            if writer:
                writer.stop()
