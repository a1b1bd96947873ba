"""The source's whole node is lost under load, a sync target is promoted, and what was acknowledged is looked for there.

Two applications write: fio, which saves the state of its verification when its trigger fires (fio(1):
verify_state_save, trigger-file), and ``Writer``, which notes each answer until the very end.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.node import Node
from tests.integration.harness.writer import Writer
from tests.lab.waiting import LONG, wait_for

SIZE = 128 * MIB
_HALF = SIZE // 2
_JOB = "w"
_DEPTH = 16
_RATE = 1500  # writes a second of fio: it must not be through when its node dies


@dataclass
class Lost:
    """What a round found."""

    fio_writes: int  # that fio read back on the promoted device and compared
    writer_pages: int  # answered to the writer and found there

    def __str__(self) -> str:
        return f"{self.fio_writes} writes of fio and {self.writer_pages} pages of the writer were there, none was lost"


def lose_the_source(cluster: Cluster, seed: int, directory: Path, silently: bool) -> Lost:
    """Kill the source's node at a moment that ``seed`` chooses; fails if a write that was answered is not at beta.

    ``silently``: as when power is lost no connection is closed, and the links carry nothing any more, already for a
    moment before: whatever is answered in it without beta is found to be lost. There are links, and beta is sync.
    """
    dice = random.Random(seed)
    alpha, beta = cluster.source, cluster.nodes["beta"]
    directory.mkdir()
    trigger, fired = directory / "trigger", directory / "fired"
    writer = Writer(cluster.device, _HALF, SIZE, threads=2, seed=seed, flush_every=dice.choice([0, 5, 50]))
    fio = _start_fio(cluster.device, seed, directory, trigger, fired)
    try:
        goal = dice.randrange(100, 3000)

        def under_way(status: dict[str, Any] | None) -> bool:
            return bool(status and writer.count > 50 and status["counters"]["writes"] - writer.count > goal)

        alpha.wait_until(under_way, "the load is under way")
        assert fio.poll() is None, f"fio ended early: {fio.communicate()[0]}"
        trigger.touch()
        wait_for(fired.exists, bool, "fio fires its trigger", pause=0.001)
        if silently:
            for link in cluster.links.values():
                link.freeze()
            # Not a wait for anything: the seed chooses how long the source may still answer, and beta be missed.
            time.sleep(dice.uniform(0.0, 0.5))
        alpha.kill()
        assert not [event for event in alpha.logged("target_state") if event["before"] == "InSync"], "it took too long"
        writer.join()
        fio.communicate(timeout=LONG)
    finally:
        fio.kill()
    beta.wait_missing_source()
    promote(beta)
    writer.assert_all_in(beta.device)
    return Lost(_verify(beta.device, seed, directory), len(writer.account.answered))


def promote(node: Node) -> None:
    """Make a target source, as an operator would who knows that alpha is off: without any force."""
    code, _, err = node.cli("promote", "r0", "--fenced", "alpha")
    assert code == 0, err
    node.wait_serving()


def _job(device: Path, seed: int) -> list[str]:
    return [
        *(
            "fio",
            f"--name={_JOB}",
            f"--filename={device}",
            "--rw=randwrite",
            "--bs=4k",
            f"--size={_HALF}",
            "--direct=1",
        ),
        *("--ioengine=libaio", "--iodepth=16", f"--randseed={seed}", "--verify=crc32c", "--verify_fatal=1"),
    ]


def _start_fio(device: Path, seed: int, directory: Path, trigger: Path, fired: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(*_job(device, seed), "--do_verify=0", "--verify_state_save=1", f"--rate_iops={_RATE}"),
            *(f"--trigger-file={trigger}", f"--trigger=touch {fired}"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=directory,
    )


def _verify(device: Path, seed: int, directory: Path) -> int:
    """Read back what the saved state says was written; return how many writes."""
    (state,) = directory.glob("*-verify.state")
    # struct thread_io_list of fio's verify-state.h: the number of writes that it had issued.
    written = int.from_bytes(state.read_bytes()[0x28:0x30], "little")
    assert _DEPTH < written < _HALF // 4096, f"fio was not in the middle of its work: {written} writes"
    done = subprocess.run(
        # One at a time: fio leaves out what was under way when it died by the number of reads that have ended, and with
        # many under way on a busy machine it is late, and takes writes that were never answered for lost.
        [*_job(device, seed), "--iodepth=1", "--verify_only=1", "--verify_state_load=1", "--output-format=json"],
        capture_output=True,
        text=True,
        cwd=directory,
        timeout=LONG,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    count: int = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]["read"]["total_ios"]
    assert count >= written - 2 * _DEPTH, f"fio compared {count} of {written} writes"
    return count
