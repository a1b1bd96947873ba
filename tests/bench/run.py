"""Measure the device next to its yardsticks.

    python -m tests.bench.run [--rounds 3] [--seconds 4] [--only async1,sync1] [--out DIR]

Writes performance.md, performance.json and performance.png to --out. As root; takes about
(seconds x 4 + 5) x contenders x rounds seconds, and memory for eight copies of --size.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from pathlib import Path

from tests.bench import footprint, host, plot, report
from tests.bench.contender import Contender
from tests.bench.measure import measure
from tests.bench.mirror import ASYNC, SYNC
from tests.bench.quorum import QUORUM
from tests.bench.yardsticks import BARE_LOOP, PASSTHROUGH

ALL: tuple[Contender, ...] = (BARE_LOOP, PASSTHROUGH, *QUORUM, *ASYNC, *SYNC)
MEMORY = "memory"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    names = [*(contender.name for contender in ALL), MEMORY]
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each job")
    parser.add_argument("--size", type=int, default=256, help="of the device, MiB")
    parser.add_argument("--only", default=",".join(names), help=f"some of {','.join(names)}")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    arguments.only = arguments.only.split(",")
    unknown = set(arguments.only) - set(names)
    if unknown:
        parser.error(f"no such contender: {', '.join(sorted(unknown))}")
    if arguments.rounds < 1 or arguments.seconds < 1 or arguments.size < 16:
        parser.error("--rounds and --seconds are at least 1, --size at least 16")
    return arguments


def _missing() -> str | None:
    """Say in a sentence what the host lacks."""
    if os.geteuid() != 0:
        return "run it as root: it makes loop devices and mounts"
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse: load the fuse module"
    if not shutil.which("fio"):
        return "fio is missing: apt-get install fio"
    return None


def _say(line: str) -> None:
    print(line, flush=True)


def _ended(*_: object) -> None:
    raise SystemExit("bench: ended by a signal")


def main() -> int:
    """Measure and write the report; 0 even if a floor was missed, 1 if something could not be measured."""
    arguments = _arguments()
    lack = _missing()
    if lack:
        print(f"bench: {lack}", file=sys.stderr)
        return 12
    signal.signal(signal.SIGTERM, _ended)  # so that everything is taken away
    contenders = [contender for contender in ALL if contender.name in arguments.only]
    if not shutil.which("qemu-storage-daemon"):
        _say("qemu-storage-daemon is missing (apt-get install qemu-system-common): measuring without it")
        contenders = [contender for contender in contenders if contender not in QUORUM]
    measured = measure(contenders, arguments.rounds, arguments.seconds, arguments.size << 20, _say)
    memory = None
    if MEMORY in arguments.only:
        try:
            memory = footprint.footprint(arguments.seconds)
        except Exception as error:
            measured.failures.append(f"memory: {error}")
    how = (
        f"fio, {arguments.seconds:g} s a job on a device of {arguments.size} MiB, stores on tmpfs; source and targets "
        f"all on this machine; medians of {arguments.rounds} interleaved rounds, everything set up anew each time."
    )
    machine = host.describe()
    text = report.markdown(measured, contenders, machine, memory, how)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "performance.md").write_text(text)
    (arguments.out / "performance.json").write_text(report.as_json(measured, machine, memory))
    drawn = plot.draw(measured, contenders, arguments.out / "performance.png")
    _say("\n" + text)
    _say(f"written: {arguments.out}/performance.md, .json" + (", .png" if drawn else " (no matplotlib: no plot)"))
    return 1 if measured.failures else 0


if __name__ == "__main__":
    sys.exit(main())
