"""What an async target that stands still, or hangs on 1 Mbit/s, costs the application (R5).

    python -m tests.bench.slow_target [--rounds 9] [--seconds 2]

One mirror: a source, an async target that is well and always in the stream, and one with ``on_full = "bitmap"`` that is
kept out by `dkrepl pause` (as if it were not there), or stopped, or slowed down. In every round each of the three in
turn; drift of the machine hits all alike. As root.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys

from tests.bench import jobs
from tests.bench.jobs import Job, Result
from tests.bench.measure import scratch
from tests.integration.harness.cluster import MIB, Cluster
from tests.integration.harness.slow_network import SlowNetwork, slow_network

CASES = ("without", "stopped", "1mbit")
LIMIT = 1.10
_JOBS = (
    Job("write_4k_qd1", "4 KiB random write, QD1", "randwrite", "4k", 1, "IOPS"),
    Job("write_4k_qd32", "4 KiB random write, QD32", "randwrite", "4k", 32, "IOPS"),
)


def _run(cluster: Cluster, network: SlowNetwork, case: str, job: Job, seconds: float) -> Result:
    slow = cluster.nodes["gamma"]
    if case == "without":
        cluster.source.ask("pause", targets=["gamma"])
    elif case == "stopped":
        slow.freeze()
    else:
        network.slow(case)
    try:
        return jobs.run(job, cluster.device, seconds)
    finally:
        if case == "without":
            cluster.source.ask("resume", targets=["gamma"])
        elif case == "stopped":
            slow.thaw()
        else:
            network.mend()
        cluster.source.ask("resync", targets=["beta", "gamma"])  # need not wait for the end of a pause
        cluster.settle()


def main() -> int:
    """Measure, and print a table of 99th percentiles and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each job")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended by a signal"))  # so that everything is taken away
    found: dict[tuple[str, str], list[Result]] = {}
    with scratch() as directory, slow_network() as network:
        cluster = Cluster(
            directory / "mirror",
            targets=(("beta", "async"), ("gamma", "async")),
            size=64 * MIB,
            node_keys={"gamma": 'on_full = "bitmap"'},
            addresses={"alpha": network.here, "gamma": network.there},
        )
        cluster.nodes["gamma"].within = network.within
        try:
            cluster.start()
            jobs.fill(cluster.device)
            cluster.settle()
            for number in range(arguments.rounds):
                turn = number % len(CASES)
                for job in _JOBS:
                    for case in (*CASES[turn:], *CASES[:turn]):
                        result = _run(cluster, network, case, job, arguments.seconds)
                        found.setdefault((case, job.name), []).append(result)
                        figures = f"p99 {result.p99_ms:.3f} ms, {result.value:,.0f} {job.unit}"
                        print(f"round {number + 1}: {job.name:14} {case:8} {figures}", flush=True)
        finally:
            cluster.close()
    print("\n| | p99 without it, ms | stopped | ratio | 1 Mbit/s | ratio | |\n|---|---:|---:|---:|---:|---:|---|")
    for job in _JOBS:
        medians = {case: statistics.median(one.p99_ms for one in found[case, job.name]) for case in CASES}
        # Within a round, so that drift cancels; then the median over the rounds.
        ratios = {
            case: statistics.median(
                one.p99_ms / without.p99_ms
                for one, without in zip(found[case, job.name], found["without", job.name], strict=True)
            )
            for case in CASES
        }
        verdict = "met" if max(ratios.values()) <= LIMIT else "**missed**"
        cells = [f"{medians['without']:.3f}"]
        for case in CASES[1:]:
            cells += [f"{medians[case]:.3f}", f"{ratios[case]:.2f}"]
        print(f"| {job.title} | {' | '.join(cells)} | ≤ {LIMIT:.2f}: {verdict} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
