"""The symbolic link by which applications know the device, whatever number it has."""

from __future__ import annotations

import os
from pathlib import Path

from dkrepl.errors import HostError


def set_link(link: Path, device: Path) -> None:
    """Make ``link`` a symbolic link to ``device``, replacing an older link in one step. Raises HostError."""
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.exists() and not link.is_symlink():
            raise HostError(f"{link} exists and is not a link: remove it")
        fresh = link.with_name(f".{link.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(device)
        fresh.replace(link)
    except OSError as error:
        raise HostError(f"cannot make the link {link} to {device} ({error.strerror})") from error


def remove_link(link: Path, device: Path) -> None:
    """Remove ``link`` if it leads to ``device``."""
    try:
        if link.is_symlink() and os.readlink(link) == str(device):
            link.unlink()
    except FileNotFoundError:
        pass
