"""Works with files on a mounted file system, and knows which of them must be there after a power loss, and which may.

What is fsynced, the directory too, must be there (fsync(2)); what was begun and not fsynced may be.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_NAMES = 40
_LARGEST = 150_000  # bytes


@dataclass
class _State:
    """A file's content (its digest; None: there is no such file) from one moment on."""

    digest: str | None
    begun: int
    durable: int | None = None


class FileWorkload:
    """``place`` tells the moment: how long the record of the store is."""

    def __init__(self, directory: Path, place: Callable[[], int], seed: int) -> None:
        self._directory = directory
        self._place = place
        self._dice = random.Random(seed)
        self._states: dict[str, list[_State]] = {}
        self.durable = 0  # states that were fsynced

    def prepare(self) -> None:
        """Make the directories, durably; what follows counts from here."""
        for name in ("kept", "noise"):
            (self._directory / name).mkdir()
        os.sync()
        self._begin = self._place()
        self._states = {f"f{n}": [_State(None, self._begin, self._begin)] for n in range(_NAMES)}

    def step(self) -> None:
        """Make, replace or remove one file durably, and do some more that is left to the kernel."""
        name = self._dice.choice(list(self._states))
        states = self._states[name]
        if states[-1].digest is not None and self._dice.random() < 0.25:
            state = _State(None, self._place())
            states.append(state)
            (self._kept / name).unlink()
        else:
            content = self._dice.randbytes(self._dice.randrange(1, _LARGEST))
            state = _State(hashlib.sha256(content).hexdigest(), self._place())
            states.append(state)
            fresh = self._kept / f"{name}.new"
            with fresh.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(self._kept / name)
        self._sync_directory()
        state.durable = self._place()
        self.durable += 1
        self._noise()

    def assert_holds(self, directory: Path, place: int) -> int:
        """Fail unless the file system at ``directory`` is one that a power loss at ``place`` may leave.

        Returns how many files were there and had to be.
        """
        found = 0
        for name, states in self._states.items():
            last = max(i for i, state in enumerate(states) if state.durable is not None and state.durable <= place)
            allowed = {state.digest for state in states[last:] if state.begun <= place}
            path = directory / "kept" / name
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None
            assert digest in allowed, f"{name} is {digest}, and may be {allowed} (state {last} was fsynced)"
            found += digest is not None and len(allowed) == 1
        return found

    @property
    def _kept(self) -> Path:
        return self._directory / "kept"

    def _sync_directory(self) -> None:
        fd = os.open(self._kept, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _noise(self) -> None:
        noise = self._directory / "noise"
        for _ in range(self._dice.randrange(6)):
            path = noise / str(self._dice.randrange(200))
            if path.exists() and self._dice.random() < 0.5:
                path.unlink()
            elif path.exists():
                path.rename(noise / f"{path.name}.{self._dice.randrange(50)}")
            else:
                path.write_bytes(self._dice.randbytes(self._dice.randrange(30_000)))
