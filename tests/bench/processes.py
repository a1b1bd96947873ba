"""Starting the programs that are measured, and ending them whatever happens."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
END_SECONDS = 30.0


@contextlib.contextmanager
def running(
    command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run ``command`` in the background, its output in ``log``; at the end SIGTERM, then SIGKILL."""
    with log.open("a", encoding="utf-8") as output:
        process = subprocess.Popen(
            list(command), cwd=ROOT, env=environ, stdout=output, stderr=subprocess.STDOUT, text=True
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """End a process: politely first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(what: str, ready: Callable[[], bool], seconds: float, process: subprocess.Popen[str], log: Path) -> None:
    """Poll ``ready`` until it is true; raise RuntimeError with the end of the log after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not ready():
        ended = process.poll()
        if ended is not None or time.monotonic() > deadline:
            how = f"its process ended with {ended}" if ended is not None else f"not within {seconds:.0f} s"
            raise RuntimeError(f"{what}: {how}\n" + log.read_text(errors="replace")[-2000:])
        time.sleep(0.02)


def check(command: Sequence[str], environ: Mapping[str, str] | None = None, timeout: float = 60) -> str:
    """Run ``command`` to its end and return its output; raise RuntimeError if it fails."""
    done = subprocess.run(list(command), cwd=ROOT, env=environ, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed ({done.returncode}): {done.stderr or done.stdout}")
    return done.stdout
