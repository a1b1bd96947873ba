"""One node: its directories, its daemon's process, its log, and what can be asked of it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from dkrepl.api import client, requests
from dkrepl.api.status import Status, from_json
from dkrepl.cli.main import exit_code
from dkrepl.core.lineage import metadata
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.daemon.initialise import initialise
from dkrepl.errors import DaemonNotRunning, TimedOut
from dkrepl.io.block import loop
from dkrepl.io.fuse import mount
from dkrepl.io.state import node_keys
from dkrepl.io.state.paths import Paths
from tests.lab.mirror import force
from tests.lab.status import follows, misses_source, serves, settled
from tests.lab.waiting import LONG, wait_for

MIRROR = "r0"
ROOT = Path(__file__).resolve().parents[3]
_DIES = 5.0  # seconds that a killed process needs at most, if it can die at all


class Node:
    """A node whose things all lie under ``directory``; the daemon is a process of its own."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.paths = Paths(directory / "etc", directory / "state", directory / "run", directory / "dev")
        self.paths.etc.mkdir(parents=True)
        # Intent bitmaps outlive a killed daemon only in a tmpfs, as /run is.
        self._bits = Path(tempfile.mkdtemp(prefix="dkrepl-", dir="/dev/shm"))
        self.paths.run.mkdir()
        self.paths.bits_memory(MIRROR).symlink_to(self._bits)
        self.store = directory / "store.img"
        self.log = directory / "log"
        self.within: tuple[str, ...] = ()  # a command that runs the daemon somewhere, as in a network namespace
        self.code = ROOT  # where the daemon's package is found
        self.keys = node_keys.generate(self.paths)
        self.process: subprocess.Popen[bytes] | None = None

    # --- the daemon ----------------------------------------------------------------------------------

    def initialise(self, **options: bool) -> None:
        """Do what ``dkrepl init`` does."""
        initialise(self.paths, MIRROR, self.name, **options)

    def start(
        self,
        ready: bool = True,
        launch: Sequence[str] = (sys.executable,),
        pass_fds: Sequence[int] = (),
        **environment: str,
    ) -> None:
        """Start the daemon; with ``ready``, wait until it answers (and serves its device).

        ``launch`` starts the interpreter, and may be given ``pass_fds``.
        """
        assert self.process is None or self.process.poll() is not None, f"{self.name} runs already"
        paths = self.paths
        where = {"ETC": paths.etc, "STATE": paths.state, "RUN": paths.run, "DEV": paths.dev}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.within, *launch, "-m", "dkrepl.cli.main", "run", MIRROR, "--node", self.name],
                cwd=self.code,
                pass_fds=pass_fds,
                env=os.environ
                | {f"DKREPL_{key}": str(path) for key, path in where.items()}
                | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(ROOT / ".cache" / "pycache")}
                | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if ready:
            self.wait_until(lambda status: status is not None and status.get("state") != "Starting", "it serves")

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        assert self.process is not None, f"{self.name} was never started"
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the daemon as the kernel would: it has no time for anything."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(LONG)

    def stop(self, seconds: float = LONG) -> int:
        """Stop the daemon cleanly; return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(seconds)

    def freeze(self) -> None:
        """Let the daemon stand still, with its connections open."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def exit_code(self, seconds: float = LONG) -> int:
        """Wait for the daemon to end by itself; return its exit code."""
        assert self.process is not None
        return self.process.wait(seconds)

    def clean(self) -> None:
        """Take away whatever is left: the process, the loop devices on our mount, the mount, the store."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.thaw()
            self.process.kill()
            try:
                self.process.wait(_DIES)
            except subprocess.TimeoutExpired:
                # Killed while the kernel set up its loop device, and waited for an answer of this very process.
                mount.unmount_all(self.paths.mountpoint(MIRROR))
                self.process.wait(LONG)
        self.take_device_away()
        self.store.unlink(missing_ok=True)
        shutil.rmtree(self._bits, ignore_errors=True)

    def take_device_away(self) -> None:
        """Take away the loop devices and the mount that a dead daemon left; who has them open gets I/O errors."""
        for device in loop.find(self.paths.mountpoint(MIRROR)):
            device.detach(1.0)
        mount.unmount_all(self.paths.mountpoint(MIRROR))

    def promote(self) -> None:
        """Make this node the source, whatever is lost, and wait until it serves."""
        wait_for(lambda: force(self.request), bool, f"{self.name}: a promotion by force")
        self.wait_serving()

    # --- what it says --------------------------------------------------------------------------------

    def ask(self, command: str, **arguments: Any) -> Any:
        """Return the daemon's answer to a control command. Raises its error."""
        return self.request(requests.of(command, arguments))

    def request(self, request: requests.Request) -> Any:
        """Return the daemon's answer to a request. Raises its error."""
        return client.ask(self.paths.socket(MIRROR), MIRROR, request)

    def status(self) -> dict[str, Any] | None:
        """Return the daemon's status, None if it does not answer."""
        try:
            found: dict[str, Any] = client.ask(self.paths.socket(MIRROR), MIRROR, requests.Status(), silence=20.0)
        except (DaemonNotRunning, TimedOut):
            if self.process is not None and (code := self.process.poll()) is not None:
                return {"ended": code}
            return None
        return found

    def present_status(self) -> dict[str, Any]:
        """Return the status of a daemon that has to answer."""
        found = self.status()
        assert found is not None, f"the daemon of {self.name} does not answer"
        return found

    def shown(self) -> Status | None:
        """Return the same as what it means; None also of a daemon that has ended."""
        found = self.status()
        return None if found is None or "ended" in found else from_json(found)

    def uptime(self) -> float:
        """Seconds since the daemon started, as it says itself; 0 if it does not answer."""
        status = self.status() or {}
        return float(status.get("process", {}).get("uptime_seconds", 0.0))

    def wait_until(self, wanted: Any, what: str, seconds: float = LONG) -> dict[str, Any]:
        """Wait until ``wanted(status)``; return that status. A daemon that ended fails at once."""

        def look(status: dict[str, Any] | None) -> bool:
            assert status is None or "ended" not in status, f"{self.name} ended while waiting until {what}: {status}"
            return bool(wanted(status))

        status = wait_for(self.status, look, f"{self.name}: {what}", seconds)
        assert status is not None
        return status

    def wait_serving(self, seconds: float = LONG) -> dict[str, Any]:
        """Wait until this node serves its device as source; return its status."""
        return self._wait_shown(serves, "it serves the device as source", seconds)

    def wait_missing_source(self) -> dict[str, Any]:
        """Wait until this node is a target that hears no source; return its status."""
        return self._wait_shown(misses_source, "it misses its source")

    def wait_following(self, source: str) -> dict[str, Any]:
        """Wait until this node is a target in sync with ``source``; return its status."""
        return self._wait_shown(lambda shown: follows(shown, source), f"it follows {source}")

    def wait_settled(self, *targets: str, seconds: float = LONG) -> dict[str, Any]:
        """Wait until this source's targets (or these) are in sync, nothing on its way, no block dirty."""
        who = ", ".join(targets) or "all targets"
        return self._wait_shown(lambda shown: settled(shown, *targets), f"{who} have settled", seconds)

    def _wait_shown(self, wanted: Callable[[Status], bool], what: str, seconds: float = LONG) -> dict[str, Any]:
        return self.wait_until(lambda found: found is not None and wanted(from_json(found)), what, seconds)

    def cli(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command of ``dkrepl`` for this node; return (exit code, stdout, stderr)."""
        paths = self.paths
        where = ["--etc", str(paths.etc), "--state", str(paths.state), "--run", str(paths.run)]
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            code = exit_code([*where, *arguments])
        return code, out.getvalue(), err.getvalue()

    def logged(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return the events that the daemon (and those before it) wrote to its log, oldest first."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                entry = json.loads(line)
                if event is None or entry["event"] == event:
                    found.append(entry)
        return found

    def last_words(self) -> str:
        """Return the last line of the log: what a daemon says that does not start."""
        return self.log.read_text().splitlines()[-1]

    def wait_for_event(self, event: str, **fields: Any) -> dict[str, Any]:
        """Wait until an event with these fields is in the log; return it."""

        def look() -> list[dict[str, Any]]:
            found = self.logged(event)
            return [entry for entry in found if all(entry.get(key) == value for key, value in fields.items())]

        return wait_for(look, bool, f"{self.name} tells {event} {fields or ''}")[-1]

    # --- what it holds -------------------------------------------------------------------------------

    @property
    def device(self) -> Path:
        """The device that applications open (of a source)."""
        return self.paths.device(MIRROR)

    @property
    def state_dir(self) -> Path:
        """Where the daemon keeps its metadata and intent log."""
        return self.paths.state_dir(MIRROR)

    def metadata(self) -> NodeMetadata:
        """Return the node's record."""
        return metadata.parse((self.state_dir / "node").read_bytes(), "node")

    def forget_memory(self) -> None:
        """Make it as if the node's kernel had been booted since its daemon ended: what was in a tmpfs is gone."""
        for path in self._bits.iterdir():
            path.unlink()
        self.set_metadata(msgspec.structs.replace(self.metadata(), boot=f"{uuid.uuid4()}"))

    def set_metadata(self, record: NodeMetadata) -> None:
        """Replace the node's record, while its daemon does not run."""
        (self.state_dir / "node").write_bytes(metadata.pack(record))
