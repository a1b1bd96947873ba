"""What is compared: things that give a block device, each set up fresh and taken away again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Running:
    """A contender that is up. ``pid`` is the process that serves the device, None if the kernel does.

    ``settle`` returns when nothing is left over from the last job, such as writes still on their way.
    """

    device: Path
    pid: int | None
    settle: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Contender:
    """``start`` gets an empty directory and the size of the device in bytes."""

    name: str
    title: str
    start: Callable[[Path, int], AbstractContextManager[Running]]
