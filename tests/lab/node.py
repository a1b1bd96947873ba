"""A node of a mirror, whatever it runs on: what is done to it, what it says, what it holds."""

from __future__ import annotations

from typing import Any, Protocol

from dkrepl.api.requests import Request
from dkrepl.api.status import Status


class Node(Protocol):
    """One node. Its daemon is under a service manager, which keeps the device of a source for the next daemon."""

    @property
    def name(self) -> str:
        """As the description has it."""
        ...

    # --- what is done to it --------------------------------------------------------------------------

    def start(self) -> None:
        """Start the daemon; it need not serve yet."""
        ...

    def stop(self) -> None:
        """Stop the daemon cleanly, and wait for its end."""
        ...

    def restart(self) -> None:
        """Stop the daemon and start it, as for an upgrade: applications on the device of a source notice a pause."""
        ...

    def kill(self) -> None:
        """Kill the daemon; the service manager starts the next one."""
        ...

    def power_off(self) -> None:
        """Cut the power: the daemon is gone without a word, and with it what was in memory."""
        ...

    def power_on(self) -> None:
        """Give the power back; the daemon starts by itself."""
        ...

    # --- what it says --------------------------------------------------------------------------------

    def status(self) -> Status | None:
        """Return what ``dkrepl status --json`` shows, None if the daemon does not answer."""
        ...

    def ask(self, request: Request) -> dict[str, Any]:
        """Give the daemon a command, as the command line does; return its answer. Raises its ``DkreplError``."""
        ...

    # --- what it holds -------------------------------------------------------------------------------

    def digest(self) -> str:
        """Return a hash of the node's whole copy, which is not read through dkrepl."""
        ...
