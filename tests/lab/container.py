"""The container backend: nodes as they are deployed, each a container with systemd, on a lab of ``demo/labs.py``.

A power cut kills a container with all that runs in it; the kernel lives on, so writes that it had taken and not yet
stored are not lost. (The simulator loses those, too.)
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from demo import power
from demo.labs import Lab
from demo.shell import environment, run
from dkrepl.api import requests
from dkrepl.api.failure import Failure
from dkrepl.api.status import SourceStatus, Status
from dkrepl.errors import DkreplError
from tests.lab import pages
from tests.lab.mirror import Mirror, Wanted
from tests.lab.node import Node
from tests.lab.partition import Partition
from tests.lab.status import serves, source_status, status_by
from tests.lab.waiting import REAL, wait_for
from tests.lab.workload import Account, Area, Missing, first_number

MIRROR = "r0"
DEVICE = f"/dev/dkrepl/{MIRROR}"
STORE = f"/var/lib/dkrepl/{MIRROR}.img"
UNIT = f"dkrepl@{MIRROR}.service"
_DIVERGED = f"/var/lib/dkrepl/{MIRROR}/diverged"
_THREADS = 4
_MOST = 1 << 30
_AREA = 4 << 20  # bytes: it writes each block again and again, so that the bounds of a resync mean something


class ContainerNode:
    """One container, and the daemon in it."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.name = name
        self.lab = lab

    # --- commands ------------------------------------------------------------------------------------

    def run(self, *words: str, seconds: float = 60, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command on the node, whatever comes of it."""
        return subprocess.run(
            [*self.within(stdin is not None), "timeout", f"{seconds:g}", *words],
            env=environment(),
            input=stdin or "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds + 30,
            check=False,
        )

    def within(self, with_input: bool = False) -> list[str]:
        """Return the command that runs another on the node."""
        return ["podman", "exec", *(["--interactive"] if with_input else []), self.lab.container(self.name)]

    def sh(self, command: str, seconds: float = 60) -> str:
        """Run a shell command that must succeed; return what it printed."""
        done = self.run("bash", "-c", command, seconds=seconds)
        assert done.returncode == 0, f"{self.name}: {command!r} ended with {_how(done)}"
        return done.stdout.strip()

    def refused(self, command: str, code: int) -> str:
        """Run a shell command that must end with this exit code; return what it said."""
        done = self.run("bash", "-c", command)
        assert done.returncode == code, f"{self.name}: {command!r} ended with {_how(done)}, and not with {code}"
        return f"{done.stdout}{done.stderr}".strip()

    def wait(self, what: str, asked: Callable[[], Any], seconds: float = 60) -> Any:
        """Ask until the answer is true and return it; a failing command counts as 'not yet'."""

        def look() -> Any:
            try:
                return asked()
            except AssertionError as error:
                return error

        wanted: Callable[[Any], bool] = lambda seen: bool(seen) and not isinstance(seen, AssertionError)  # noqa: E731
        return wait_for(look, wanted, f"{self.name}: {what}", seconds, pause=0.3)

    # --- as every node -------------------------------------------------------------------------------

    def start(self) -> None:
        self.sh(f"systemctl start {UNIT}")

    def stop(self) -> None:
        self.sh(f"systemctl stop {UNIT}")

    def restart(self) -> None:
        self.sh(f"systemctl restart {UNIT}")

    def kill(self) -> None:
        old = self.main_pid()
        self.sh(f"kill -KILL {old}")
        self.wait("a new daemon", lambda: self.main_pid() not in (old, "0"))

    def power_off(self) -> None:
        power.cut(self.lab, self.name)

    def power_on(self) -> None:
        power.restore(self.lab, self.name)

    def status(self) -> Status | None:
        return status_by(self.ask)

    def ask(self, request: requests.Request) -> dict[str, Any]:
        done = self.run("dkrepl", *command_line(request), "--json", seconds=90)
        try:
            answer: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise DkreplError(f"{self.name}: dkrepl ended with {_how(done)}") from None
        if "error" in answer:
            raise msgspec.convert(answer["error"], Failure).as_error()
        return answer

    def digest(self) -> str:
        return self.sh(f"sha256sum < {STORE}").split()[0]

    def main_pid(self) -> str:
        """The process of the mirror's daemon."""
        return self.sh(f"systemctl show --property MainPID --value {UNIT}")


def command_line(request: requests.Request) -> list[str]:
    """Return the words of ``dkrepl`` that stand for a request of status, of targets or of a role."""
    fields = msgspec.to_builtins(request)
    words = [fields.pop("command"), MIRROR, *fields.pop("targets", ())]
    for key, value in fields.items():
        option = f"--{key.replace('_', '-')}"
        for one in value if isinstance(value, list | tuple) else [value]:
            words += [option] if one is True else [option, str(one)]
    return words


def _how(done: subprocess.CompletedProcess[str]) -> str:
    return f"{done.returncode}: {done.stderr or done.stdout}"


class ContainerLab:
    """Shows the mirror that is deployed, and leaves it as it was: alpha is source, every target in sync."""

    def __init__(self, lab: Lab) -> None:
        self._mirror = ContainerMirror({name: ContainerNode(lab, name) for name in lab.nodes}, cuts_of(lab))
        self._lab = lab

    @contextmanager
    def mirror(self, wanted: Wanted) -> Iterator[ContainerMirror]:
        """Return the mirror; fails if it is deployed otherwise than the story wants it."""
        mirror = self._mirror
        mirror.wait_in_sync(mirror.alpha)
        status = source_status(mirror.alpha.status())
        found = (mirror.seen(mirror.alpha, mirror.gamma).mode, status.quorum.min)
        assert found == (wanted.gamma, wanted.min_copies), f"deployed are gamma {found[0]}, min_copies {found[1]}"
        mirror.size, mirror.block, mirror.extent = status.size, status.block, status.extent
        try:
            yield mirror
        finally:
            power.restore(self._lab, *self._lab.nodes)
            mirror.heal()
            for node in mirror.nodes.values():
                node.start()
            mirror.make_source(mirror.nodes["alpha"])


class ContainerMirror(Mirror):
    """Nodes in containers."""

    pause = 0.3
    patience = 120.0
    clock = REAL
    nodes: dict[str, ContainerNode]

    def __init__(self, nodes: dict[str, ContainerNode], cuts: Partition) -> None:
        self.nodes = nodes
        self._cuts = cuts

    def cut(self, node: Node, *others: Node) -> None:
        self._cuts.part(node.name, *(other.name for other in others))

    def heal(self) -> None:
        self._cuts.heal()

    def load(self, node: Node, area: Area, seed: int) -> ContainerLoad:
        return ContainerLoad(self.nodes[node.name], Area(area.first, min(area.length, _AREA)), seed)

    def fill(self, node: Node, area: Area) -> ContainerWrites:
        writes, number = ContainerWrites(), first_number()
        words = ("fill", DEVICE, *map(str, (area.first, area.length, number)))
        done = self.nodes[node.name].run("python3", "-c", Path(pages.__file__).read_text(), *words, seconds=120)
        assert done.returncode == 0, f"the device of {node.name} cannot be filled: {_how(done)}"
        writes.account.fills(number, area)
        return writes

    @contextmanager
    def used(self, node: Node) -> Iterator[None]:
        with device_open(self.nodes[node.name]):
            yield

    def make_source(self, node: ContainerNode) -> None:
        """Hand the mirror over to a node, if it is not source, and wait until all targets are in sync."""

        def sources() -> list[ContainerNode]:
            return [other for other in self.nodes.values() if serves(other.status())]

        [source] = self._until(sources, lambda found: len(found) == 1, "there is one source")
        self.wait_in_sync(source)
        if source is not node:
            source.ask(requests.Switchover(to=node.name))
            self.wait_in_sync(node)


def cuts_of(lab: Lab) -> Partition:
    """Return what cuts the network between the containers of a lab."""

    def within(node: str) -> tuple[str, str]:
        process = run("podman", "inspect", "--format", "{{.State.Pid}}", lab.container(node))
        return "nsenter", f"--net=/proc/{process}/ns/net"  # the node need not have the command installed

    def running() -> list[str]:
        names = run("podman", "ps", "--filter", f"label={lab.label}", "--format", "{{.Names}}").split()
        return [node for node in lab.nodes if lab.container(node) in names]

    return Partition({node: lab.address(node) for node in lab.nodes}, within, running)


@contextmanager
def device_open(source: ContainerNode) -> Iterator[None]:
    """An application that has the device open and does nothing."""
    user = f"exec -a device-user sleep 120 < {DEVICE}"
    source.sh(f"bash -c {shlex.quote(user)} >/dev/null 2>&1 & until pgrep -f ^device-user; do sleep 0.1; done")
    try:
        yield
    finally:
        source.sh("pkill -f ^device-user; while pgrep -f ^device-user; do sleep 0.1; done")


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
            *("python3", "-c", Path(pages.__file__).read_text(), "read", where),
            stdin="".join(f"{place} {number}\n" for place, number in self.account.wanted()),
        )
        assert done.returncode == 0, f"{node.name}: {where} cannot be read: {_how(done)}"
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
            [*node.within(True), "python3", "-c", Path(pages.__file__).read_text(), "write", DEVICE, *numbers],
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
        text = os.pread(self._log.fileno(), _MOST, self._read)
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode().splitlines():
            if line.startswith("error"):
                self._failed.append(line)
            else:
                place, number = map(int, line.split())
                self.account.begins([place])
                self.account.answers(number, [place])
