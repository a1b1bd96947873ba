"""Settings of the process: they may be refused, and never disturb."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_CHURN = """
import resource
from dkrepl.io.host import memory
if {keep}:
    assert memory.keep_freed_memory()
def churn(times):
    for _ in range(times):
        held = [bytearray(b"x") * (1 << 20) for _ in range(8)]
        del held
churn(4)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
churn(20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: bool) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _CHURN.format(keep=keep)],
        cwd=Path(__file__).resolve().parents[4],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(done.stdout)


def test_freed_memory_is_used_again_without_being_faulted_in_again() -> None:
    assert faults(keep=True) * 10 < faults(keep=False)


def test_serving_io_is_declared_or_refused_but_never_raises() -> None:
    code = "from dkrepl.io.host import memory; print(memory.serve_io())"
    root = Path(__file__).resolve().parents[4]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() in ("True", "False")
