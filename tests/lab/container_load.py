"""Applications in containers."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from demo.shell import environment
from dkrepl.api.status import SourceStatus
from tests.lab import pages
from tests.lab.container_node import DEVICE, MIRROR, STORE, ContainerNode, how
from tests.lab.node import Node
from tests.lab.waiting import wait_for
from tests.lab.workload import Account, Area, Missing, first_number

SCRIPT = Path(pages.__file__).read_text()
_DIVERGED = f"/var/lib/dkrepl/{MIRROR}/diverged"
_THREADS = 4


class ContainerWrites:
    """What an application has written in a container."""

    def __init__(self) -> None:
        self.account = Account()

    def written(self, unit: int) -> int:
        return self.account.written(unit)

    def missing_on(self, node: Node, path: str = "") -> list[Missing]:
        """``path``: look there, and not on the device or in the store."""
        assert isinstance(node, ContainerNode)
        where = path or (DEVICE if isinstance(node.status(), SourceStatus) else STORE)
        done = node.run(
            *("python3", "-c", SCRIPT, "read", where),
            stdin="".join(f"{place} {number}\n" for place, number in self.account.wanted()),
        )
        assert done.returncode == 0, f"{node.name}: {where} cannot be read: {how(done)}"
        lines = (line.split() for line in done.stdout.splitlines())
        return self.account.lacking((int(place), int(number), int(seen)) for place, number, seen in lines)

    def missing_aside(self, node: Node) -> list[Missing]:
        assert isinstance(node, ContainerNode)
        return self.missing_on(node, node.sh(f"ls {_DIVERGED}/*.img"))


class ContainerLoad(ContainerWrites):
    """Writes single pages in four threads, each in its part of an area, until it is told to stop, or its node dies."""

    def __init__(self, node: ContainerNode, area: Area, seed: int = 1) -> None:
        super().__init__()
        self.node = node
        self._area, self._failed, self._read = area, list[str](), 0
        # What it prints is appended, wherever it is read meanwhile.
        self._log = tempfile.TemporaryFile("ab+")  # noqa: SIM115 - lives as long as the writer
        numbers = map(str, (*area, _THREADS, seed, first_number()))
        self._process = subprocess.Popen(
            [*node.within(True), "python3", "-c", SCRIPT, "write", DEVICE, *numbers],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    @property
    def errors(self) -> int:
        """1 if it was told an error instead of an answer, and has ended; 0 if applications noticed nothing."""
        self._collect()
        return len(self._failed)

    def wait_for_more(self, writes: int, seconds: float = 60) -> None:
        self._collect()
        goal = self.account.count + writes

        def look() -> int:
            ended = self._process.poll() is not None
            self._collect()
            assert not ended, f"the writer on {self.node.name} ended: {self._failed}"
            return self.account.count

        what = f"{writes} more writes on {self.node.name} are answered"
        wait_for(look, lambda count: count >= goal, what, seconds, pause=0.1)

    def stop(self, seconds: float = 60) -> None:
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"a write on {self.node.name} was not answered within {seconds:g} s") from None
        self._collect()

    def written(self, unit: int) -> int:
        """Of the whole area: which pages were begun and not answered is not known here."""
        return (self._area.end - 1) // unit * unit + unit - self._area.first // unit * unit

    def _collect(self) -> None:
        """Read what it has printed since; the node may have died in the middle of a line."""
        log = self._log.fileno()
        text = os.pread(log, os.fstat(log).st_size - self._read, self._read)
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode().splitlines():
            if line.startswith("error"):
                self._failed.append(line)
            else:
                place, number = map(int, line.split())
                self.account.begins([place])
                self.account.answers(number, [place])
