"""The systemd unit of a node's daemon, as far as the daemon notices: what ``systemctl`` does, and what it says."""

from __future__ import annotations

from pathlib import Path

from tests.integration.harness.node import MIRROR, Node
from tests.integration.harness.service_manager import ServiceManager, path_with_systemctl

_UNIT = f"dkrepl@{MIRROR}.service"
_RESTART = f"7 {_UNIT} restart running"


class Unit:
    """Starts and stops the daemon of one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.manager = ServiceManager(node)
        self._jobs: Path = node.directory / "systemctl-says"

    def start(self) -> None:
        """``systemctl start``."""
        self._report("")
        programs = self.node.directory / "bin"
        path = path_with_systemctl(programs, "")
        (programs / "systemctl").write_text(f"#!/bin/sh\ncat {self._jobs}\n")
        self.manager.start(ready=False, PATH=path, DKREPL_UNIT=_UNIT)

    def stop(self) -> None:
        """``systemctl stop``."""
        code = self.stop_at_any_time()
        assert code == 0, f"the daemon of {self.node.name} ended with {code} when it was stopped"

    def stop_at_any_time(self) -> int:
        """``systemctl stop``, maybe before the daemon is up, when a signal just ends it; return its exit code."""
        self._report("")
        code = self.node.stop()
        self.manager.drop()
        return code

    def restart(self) -> None:
        """``systemctl restart``: the device is left to the successor."""
        self._report(_RESTART)
        code = self.node.stop()
        assert code == 0, f"the daemon of {self.node.name} ended with {code} when it was restarted"
        self.start()

    def kill(self) -> None:
        """The daemon dies, and the service manager starts the next."""
        self.node.kill()
        self.start()

    def lose(self) -> None:
        """The daemon is gone, and the device with it, as if the node were off; what was in memory is kept."""
        self.node.kill()
        self.manager.drop()
        self.node.take_device_away()

    def power_off(self) -> None:
        """The power is cut: what was in memory is gone, too. (The kernel lives on, so what the store took is there.)"""
        self.lose()
        self.node.forget_memory()

    def close(self) -> None:
        """Let go of everything that is kept for the daemon."""
        self.manager.close()

    def _report(self, job: str) -> None:
        self._jobs.write_text(job + "\n")
