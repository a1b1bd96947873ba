"""A target whose bitmap is lost is copied in full, and keeps nothing aside, for it has nothing of its own."""

from __future__ import annotations

import pytest

from tests.integration.harness.applications import run
from tests.integration.harness.cluster import MIB
from tests.integration.harness.fixtures import Clusters

pytestmark = pytest.mark.root


def test_a_target_with_a_damaged_bitmap_follows_an_async_source_without_saving_its_copy_aside(
    clusters: Clusters,
) -> None:
    cluster = clusters.make(targets=(("beta", "async"), ("gamma", "async")))
    alpha, beta, gamma = (cluster.nodes[name] for name in ("alpha", "beta", "gamma"))
    run("fio", "--name=w", f"--filename={alpha.device}", "--rw=write", "--bs=64k", "--size=4m", "--direct=1",
        "--end_fsync=1", "--verify_state_save=0")  # fmt: skip
    cluster.settle()
    gamma.stop()
    bitmap = gamma.state_dir / "intent" / "beta.bitmap"
    content = bytearray(bitmap.read_bytes())
    content[4096] ^= 0xFF
    bitmap.write_bytes(content)
    alpha.kill()
    beta.wait_missing_source()
    beta.promote()
    gamma.start(ready=False)
    gamma.wait_until(
        lambda found: found and found["state"] == "InSync" and found["source"] == "beta", "it follows beta"
    )
    assert gamma.logged("bitmap_damaged")
    assert not gamma.logged("diverged_saved")
    seen = next(one for one in beta.present_status()["targets"] if one["name"] == "gamma")
    assert seen["last_resync"]["kind"] == "full"
    assert seen["last_resync"]["copied_bytes"] == 64 * MIB
    cluster.assert_equal_to(beta, gamma)
