"""Where dkrepl keeps things on a node."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """The four directories of a node; every path of a mirror follows from them."""

    etc: Path = Path("/etc/dkrepl")
    state: Path = Path("/var/lib/dkrepl")
    run: Path = Path("/run/dkrepl")
    dev: Path = Path("/dev/dkrepl")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Paths:
        """Return the defaults, changed by DKREPL_ETC, DKREPL_STATE, DKREPL_RUN and DKREPL_DEV."""
        default = cls()
        return cls(
            etc=Path(environ.get("DKREPL_ETC", default.etc)),
            state=Path(environ.get("DKREPL_STATE", default.state)),
            run=Path(environ.get("DKREPL_RUN", default.run)),
            dev=Path(environ.get("DKREPL_DEV", default.dev)),
        )

    def description(self, mirror: str) -> Path:
        """The mirror's description file."""
        return self.etc / f"{mirror}.toml"

    @property
    def keys(self) -> Path:
        """The directory of the node's secret key, which all its mirrors share; for root only."""
        return self.etc / "keys"

    def state_dir(self, mirror: str) -> Path:
        """The directory of the mirror's metadata and intent log."""
        return self.state / mirror

    def socket(self, mirror: str) -> Path:
        """The control socket of the mirror's daemon."""
        return self.run / f"{mirror}.sock"

    def description_read(self, mirror: str) -> Path:
        """An empty file, as old as what the mirror's daemon has read of its description."""
        return self.run / f"{mirror}.read"

    def bits_memory(self, mirror: str) -> Path:
        """The directory of the memory in which the mirror's intent bitmaps are changed; on a tmpfs, for root only."""
        return self.run / f"{mirror}.bits"

    def mountpoint(self, mirror: str) -> Path:
        """The file over which the FUSE file system of one file is mounted."""
        return self.run / f"{mirror}.device"

    def device(self, mirror: str) -> Path:
        """The link that applications open on the source."""
        return self.dev / mirror
