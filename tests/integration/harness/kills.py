"""Kills the daemon of the source again and again under a load that compares what it reads with what it wrote."""

from __future__ import annotations

import random
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.harness.cluster import Cluster
from tests.integration.harness.service_manager import ServiceManager
from tests.lab.waiting import LONG

_ROUND = 8  # seconds of one fio, which then reads back all that it wrote
_LOOK_AROUND = 0.5  # seconds: a kill comes this long, at most, after the moment that it waits for


class VerifiedLoad:
    """fio after fio on the device, each of which ends with an error if one request failed or one read was wrong."""

    def __init__(self, device: Path, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self._device = device
        self._directory = directory
        self._rounds = 0
        self._process: subprocess.Popen[str] | None = None

    def keep_going(self) -> None:
        """Begin the next round if there is none; fails if the last one saw an error."""
        if self._process is not None and self._process.poll() is None:
            return
        self.finish()
        self._rounds += 1
        job = f"""--name=v{self._rounds} --filename={self._device} --rw=randrw --bsrange=4k-64k --size=48m --direct=1
            --ioengine=libaio --iodepth=16 --verify=crc32c --verify_backlog=512 --time_based --runtime={_ROUND}
            --verify_state_save=0 --write_lat_log=v{self._rounds} --disable_clat=1 --disable_slat=1
            --log_unix_epoch=1 --allrandrepeat=1 --randseed={self._rounds}"""
        self._process = subprocess.Popen(
            ["fio", *job.split()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self._directory,
        )

    def finish(self) -> None:
        """Wait for the end of the round; fails if it saw an error."""
        if self._process is not None:
            output, _ = self._process.communicate(timeout=LONG + _ROUND)
            assert self._process.returncode == 0, output
            self._process = None

    def end(self) -> None:
        """End it, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate(timeout=LONG)

    def requests(self) -> list[tuple[float, float]]:
        """Return (begin, end) in Unix seconds of every request that was answered."""
        found = []
        for path in self._directory.glob("v*_lat.*.log"):
            for line in path.read_text().splitlines():
                milliseconds, nanoseconds, *_ = line.split(",")
                end = int(milliseconds) / 1000
                found.append((end - int(nanoseconds) / 1e9, end))
        return found


@contextmanager
def verified(cluster: Cluster, directory: Path) -> Iterator[VerifiedLoad]:
    """A load on the device while its daemon comes and goes: no error, one device all the time, equal copies at the end.

    Fails also if an application reads what it did not write.
    """
    load = VerifiedLoad(cluster.device, directory)
    try:
        yield load
        load.finish()
    finally:
        load.end()
    made = [event for event in cluster.source.logged("device_ready") if not event["taken_over"]]
    assert len(made) == 1, "the device was made anew"
    cluster.settle()
    cluster.assert_equal()


@dataclass
class Pauses:
    """The longest request that each kill, or restart, fell into: seconds."""

    seconds: list[float]
    requests: int

    @classmethod
    def of(cls, moments: list[float], requests: list[tuple[float, float]]) -> Pauses:
        """``moments`` of the kills in Unix seconds, in order. A request that two kills fell into counts for both."""
        longest = []
        for moment, following in zip(moments, [*moments[1:], float("inf")], strict=True):
            longest.append(max((e - b for b, e in requests if e >= moment and b < following), default=0.0))
        return cls(longest, len(requests))

    def __str__(self) -> str:
        ordered = sorted(self.seconds)
        p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        return (
            f"{len(ordered)} pauses over {self.requests} requests: median {statistics.median(ordered):.3f} s, "
            f"p99 {p99:.3f} s, longest {ordered[-1]:.3f} s"
        )


def kill_again_and_again(manager: ServiceManager, kills: int, seed: int, directory: Path) -> Pauses:
    """Kill the source's daemon ``kills`` times: in sync with its targets, or at work without them, or at its start.

    Fails as ``verified`` does, or if the device is another loop device in the end.
    """
    cluster: Cluster = manager.cluster
    source = cluster.source
    dice = random.Random(seed)
    loop = (source.status() or {})["loop"]
    moments = []
    with verified(cluster, directory) as load:
        for _ in range(kills):
            load.keep_going()
            choice = dice.random()
            if choice < 0.35:
                cluster.wait_in_sync()
                load.keep_going()
            if choice < 0.75:
                _wait_for_writes(cluster, load, dice.randrange(1, 400))
            # Not a wait for anything: the seed chooses at which moment of its life the daemon dies.
            time.sleep(dice.uniform(0, _LOOK_AROUND))
            moments.append(time.time())
            source.kill()
            manager.start(ready=False)
        source.wait_until(lambda status: status and status["state"] == "Serving", "the last successor serves")
    assert (source.status() or {})["loop"] == loop
    return Pauses.of(moments, load.requests())


def _wait_for_writes(cluster: Cluster, load: VerifiedLoad, count: int) -> None:
    before: list[int] = []

    def gone_on(status: dict[str, object] | None) -> bool:
        load.keep_going()
        if not status or status.get("role") != "source" or status["state"] != "Serving":
            return False
        counters = status["counters"]
        assert isinstance(counters, dict)
        before.append(counters["writes"])
        return bool(counters["writes"] >= before[0] + count)

    cluster.source.wait_until(gone_on, "writes go on")
