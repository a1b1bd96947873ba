"""A node in a container: commands that are run in it, and what systemd does with its daemon."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from demo import power
from demo.labs import Lab
from demo.shell import environment
from dkrepl.api import requests
from dkrepl.api.failure import Failure
from dkrepl.api.status import Status
from dkrepl.errors import DkreplError
from tests.lab.status import status_by
from tests.lab.waiting import wait_for

MIRROR = "r0"
DEVICE = f"/dev/dkrepl/{MIRROR}"
STORE = f"/var/lib/dkrepl/{MIRROR}.img"
UNIT = f"dkrepl@{MIRROR}.service"


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
        assert done.returncode == 0, f"{self.name}: {command!r} ended with {how(done)}"
        return done.stdout.strip()

    def refused(self, command: str, code: int) -> str:
        """Run a shell command that must end with this exit code; return what it said."""
        done = self.run("bash", "-c", command)
        assert done.returncode == code, f"{self.name}: {command!r} ended with {how(done)}, and not with {code}"
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
            raise DkreplError(f"{self.name}: dkrepl ended with {how(done)}") from None
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


def how(done: subprocess.CompletedProcess[str]) -> str:
    """Say how a command ended."""
    return f"{done.returncode}: {done.stderr or done.stdout}"


@contextmanager
def device_open(source: ContainerNode) -> Iterator[None]:
    """An application that has the device open and does nothing."""
    user = f"exec -a device-user sleep 120 < {DEVICE}"
    source.sh(f"bash -c {shlex.quote(user)} >/dev/null 2>&1 & until pgrep -f ^device-user; do sleep 0.1; done")
    try:
        yield
    finally:
        source.sh("pkill -f ^device-user; while pgrep -f ^device-user; do sleep 0.1; done")
