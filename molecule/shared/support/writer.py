"""A load whose answered writes are known: what was acknowledged must be found again, wherever the source is by then."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.shell import environment
from support.nodes import DEVICE, LAB, MIB, Node

HERE = Path(__file__).parent
THREADS = 4


class Writer:
    """Writes on a node's device in the area of `length` bytes at `offset`, each block again and again."""

    def __init__(self, node: Node, offset: int, length: int = 4 * MIB, seed: int = 1) -> None:
        self.node = node
        self.length = length
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the writer
        script = (HERE / "writer_on_node.py").read_text()
        words = ["python3", "-c", script, DEVICE, *map(str, (offset, length, THREADS, seed))]
        self._process = subprocess.Popen(
            ["podman", "exec", "--interactive", LAB.container(node.name), *words],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def wait_for(self, more: int, seconds: float = 60) -> None:
        """Wait until this many more writes have been answered."""
        wanted = self._size() + more * len("100000000 1000\n")
        deadline = time.monotonic() + seconds
        while self._size() < wanted:
            assert self._process.poll() is None, f"the writer on {self.node.name} ended: {self.errors()}"
            assert time.monotonic() < deadline, f"{more} writes on {self.node.name} were not answered in {seconds} s"
            time.sleep(0.1)

    def stop(self, seconds: float = 60) -> int:
        """Let it end, or see that it has ended with its node; return how many writes were answered."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"a write on {self.node.name} was not answered within {seconds} s") from None
        return len(self._lines())

    def errors(self) -> list[str]:
        """What the writer was told instead of an answer; nothing, if applications noticed nothing."""
        return [line for line in self._lines() if line.startswith("error")]

    def answered(self) -> dict[int, int]:
        """For each place the number of the last write that was answered."""
        return {int(place): int(number) for place, number in (line.split() for line in self._lines() if line[0] != "e")}

    def missing_on(self, node: Node, path: str = DEVICE) -> list[str]:
        """Sentences on what was answered and is not to be found at `path` on a node; there should be none."""
        answered = self.answered()
        assert answered, "nothing was answered, so nothing can be found"
        done = subprocess.run(
            ["podman", "exec", "--interactive", LAB.container(node.name), "python3", "-c",
             (HERE / "reader_on_node.py").read_text(), path],
            env=environment(),
            input="".join(f"{place} {number}\n" for place, number in answered.items()),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )  # fmt: skip
        return done.stdout.splitlines()

    def _size(self) -> int:
        return Path(f"/proc/self/fd/{self._log.fileno()}").stat().st_size

    def _lines(self) -> list[str]:
        self._log.seek(0)
        # The node may have died in the middle of a line.
        return [line for line in self._log.read().split("\n")[:-1] if line]


@contextmanager
def writing(node: Node, offset: int, length: int = 4 * MIB, seed: int = 1) -> Iterator[Writer]:
    """A writer that is gone at the end, whatever happened."""
    writer = Writer(node, offset, length, seed)
    try:
        yield writer
    finally:
        writer.stop()
