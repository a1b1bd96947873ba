"""What every command starts from: the directories of this node, the mirror meant, and a way to ask its daemon."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dkrepl.api import client
from dkrepl.api.client import NotListening, Progress
from dkrepl.api.requests import Request
from dkrepl.api.status import Status
from dkrepl.errors import NotFound, UsageError
from dkrepl.io.state.paths import Paths

_MIRROR = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)


@dataclass(frozen=True)
class Session:
    """One run of the command line: what its global options say."""

    paths: Paths

    def mirror(self, name: str | None) -> str:
        """Return the mirror named, or the only one described here.

        Raises UsageError for what cannot be the name of a mirror or if there are several, NotFound if there is none.
        """
        if name is None:
            from dkrepl.io.state.description_file import only_mirror

            return only_mirror(self.paths)
        if _MIRROR.fullmatch(name) is None:
            raise UsageError(
                f"{name!r} is not the name of a mirror: a lower-case letter, then lower-case letters, digits or hyphens"
            )
        return name

    def ask(
        self,
        mirror: str,
        request: Request,
        on_progress: Progress | None = None,
        silence: float | None = None,
        endless: bool = False,
    ) -> Any:
        """As ``client.ask``; raises NotFound if this node describes no such mirror."""
        try:
            return client.ask(self.paths.socket(mirror), mirror, request, on_progress, silence, endless)
        except NotListening:
            if self.paths.description(mirror).exists():
                raise
        raise self._no_mirror(mirror)

    def state_dir(self, name: str | None) -> tuple[str, Path]:
        """Return a mirror, as ``mirror`` does, and where its state is; that outlives its description.

        Raises NotFound if this node has neither.
        """
        mirror = self.mirror(name)
        directory = self.paths.state_dir(mirror)
        if not directory.exists() and not self.paths.description(mirror).exists():
            raise self._no_mirror(mirror)
        return mirror, directory

    def _no_mirror(self, mirror: str) -> NotFound:
        from dkrepl.io.state.description_file import list_mirrors

        known = ", ".join(list_mirrors(self.paths)) or "none"
        return NotFound(f"there is no mirror {mirror} here ({self.paths.etc} describes: {known})")

    def status(self, mirror: str, silence: float | None = None) -> Status:
        """Return the status of a mirror. Raises as ``ask``, and ProtocolError for an answer that makes no sense."""
        from dkrepl.api import requests

        return client.read_status(self.ask(mirror, requests.Status(), silence=silence), mirror)
