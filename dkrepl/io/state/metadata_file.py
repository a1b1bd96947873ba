"""Where a node's record of a mirror lies, and which boot of the kernel this is."""

from __future__ import annotations

from pathlib import Path

from dkrepl.core.lineage import metadata
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.errors import NotFound, StateDirectoryError
from dkrepl.io.state import durable_file

FILE = "node"


def read(state_dir: Path) -> NodeMetadata:
    """Return the record in a mirror's state directory. Raises ``NotFound`` or ``MetadataError``."""
    path = state_dir / FILE
    try:
        return metadata.parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise NotFound(f"{state_dir.name} is not initialised on this node; run dkrepl init {state_dir.name}") from None
    except OSError as error:
        raise StateDirectoryError(f"cannot read {path} ({error.strerror})") from error


def settle(state_dir: Path) -> None:
    """Make durable what ``read`` returns: a killed process may have put it in place in memory only.

    Raises ``MetadataError``.
    """
    durable_file.sync(state_dir / FILE)


def write(state_dir: Path, record: NodeMetadata) -> None:
    """Replace the record durably. Raises ``MetadataError``."""
    durable_file.replace(state_dir / FILE, metadata.pack(record))


def boot_id() -> str:
    """Return the kernel's identity of this boot: page cache written before survives only within it (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
