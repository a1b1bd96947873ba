"""An application that never gives up: it writes, notes what was answered, and opens the device again after each error,
wherever the source is by then.

Every write has a number, and each of its pages is a pattern of the number and the page's offset. At the end a page must
hold the newest write of it that was answered, or one that was begun later and never answered.
"""

from __future__ import annotations

import mmap
import os
import random
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from tests.integration.harness.applications import PAGE, pattern
from tests.integration.harness.node import MIRROR, Node
from tests.integration.harness.waiting import wait_for

_RUN = 10_000_000_000  # between the numbers of two threads


class SteadyWriter:
    """Writes between two offsets of ``node``'s device, in threads that share nothing. ``node`` may be set at any time:
    None while applications are stopped."""

    def __init__(
        self, node: Node, first: int, end: int, threads: int = 2, seed: int = 1, flush_every: int = 25
    ) -> None:
        self.node: Node | None = node
        self.answered: dict[int, int] = {}  # page offset -> the newest write of it that was answered
        self.unanswered: dict[int, list[int]] = {}  # page offset -> those begun since, which failed
        self.count = 0
        self.errors = 0
        self.longest = 0.0  # seconds between two answers, while it was to write
        self._seed, self._flush_every = seed, flush_every
        self._running = threading.Event()
        self._running.set()
        self._ended = False
        self._busy = [False] * threads
        width = (end - first) // threads // PAGE * PAGE
        self._threads = [
            threading.Thread(target=self._work, args=(i, first + i * width, first + (i + 1) * width), daemon=True)
            for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    # --- told by the test ----------------------------------------------------------------------------

    def pause(self, seconds: float = 90) -> None:
        """Let every thread end its write and close the device, as an application that is stopped."""
        self._running.clear()
        wait_for(lambda: list(self._busy), lambda busy: not any(busy), "the writer's last writes are answered", seconds)

    def resume(self, node: Node | None = None) -> None:
        """Go on, on ``node`` if it is given."""
        self.node = node or self.node
        self._running.set()

    def wait_for_more(self, writes: int = 50, seconds: float = 60) -> None:
        """Wait until so many more writes are answered."""
        goal = self.count + writes
        wait_for(lambda: self.count, lambda count: count >= goal, f"{writes} more writes are answered", seconds)

    def end(self, seconds: float = 90) -> None:
        """End the threads."""
        self._ended = True
        self._running.set()
        for thread in self._threads:
            thread.join(seconds)
            assert not thread.is_alive(), f"a write of the writer was not answered within {seconds:g} s"

    # --- the account ---------------------------------------------------------------------------------

    def missing_in(self, path: Path) -> list[tuple[int, int]]:
        """Return (offset, number) of each answered write that ``path`` lacks. Only while it is paused or ended.

        A write that failed and is found counts as answered from here on: it may not vanish again.
        """
        missing = []
        with path.open("rb", buffering=0) as file:
            for offset, number in sorted(self.answered.items()):
                page = os.pread(file.fileno(), PAGE, offset)
                if page == pattern(number, offset):
                    continue
                later = next((one for one in self.unanswered.get(offset, ()) if page == pattern(one, offset)), None)
                if later is None:
                    missing.append((offset, number))
                else:
                    self.answered[offset] = later
                    self.unanswered[offset] = [one for one in self.unanswered[offset] if one > later]
        return missing

    def assert_all_in(self, paths: Iterable[Path]) -> None:
        """Fail unless each of these stores, or devices, holds all that was answered."""
        assert self.answered, "nothing was answered, so nothing can be looked for"
        for path in paths:
            missing = self.missing_in(path)
            assert not missing, f"{path} lacks {len(missing)} of {len(self.answered)} answered pages, as {missing[:5]}"

    # --- the threads ---------------------------------------------------------------------------------

    def _work(self, index: int, first: int, end: int) -> None:
        dice = random.Random(f"{self._seed}/{index}")
        buffer = mmap.mmap(-1, 8 * PAGE)
        number = index * _RUN
        fd, since, done = -1, time.monotonic(), 0
        while not self._ended:
            if not self._running.is_set():
                fd = _close(fd)
                self._busy[index] = False
                self._running.wait()
                since = time.monotonic()
                continue
            self._busy[index] = True
            if fd < 0:
                fd = _open(self.node)
                if fd < 0:
                    time.sleep(0.01)  # the device is not there yet
                    continue
            number += 1
            pages = dice.choice((1, 1, 2, 8))
            offset = first + dice.randrange((end - first) // PAGE - pages + 1) * PAGE
            try:
                self._write(fd, buffer, number, offset, pages)
                done += 1
                if done % self._flush_every == 0:
                    os.fsync(fd)
            except OSError:
                self.errors += 1
                fd = _close(fd)
                continue
            now = time.monotonic()
            self.longest, since = max(self.longest, now - since), now
        _close(fd)
        self._busy[index] = False

    def _write(self, fd: int, buffer: mmap.mmap, number: int, offset: int, pages: int) -> None:
        offsets = range(offset, offset + pages * PAGE, PAGE)
        for i, at in enumerate(offsets):
            buffer[i * PAGE : (i + 1) * PAGE] = pattern(number, at)
            self.unanswered.setdefault(at, []).append(number)
        with memoryview(buffer) as view, view[: pages * PAGE] as part:
            if os.pwrite(fd, part, offset) != pages * PAGE:
                raise OSError("a short write")
        for at in offsets:
            self.answered[at] = number
            self.unanswered.pop(at)
        self.count += 1


def _open(node: Node | None) -> int:
    """Return a descriptor of the node's device, -1 if there is none."""
    if node is None:
        return -1
    try:
        fd = os.open(node.device, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        return -1
    # A link that a dead daemon left may name a loop device that is another's by now. While it is open, it stays ours.
    name = Path(os.readlink(f"/proc/self/fd/{fd}")).name
    backing = Path(f"/sys/block/{name}/loop/backing_file")
    try:
        ours = backing.read_text().startswith(str(node.paths.mountpoint(MIRROR)))
    except OSError:
        ours = False
    return fd if ours else _close(fd)


def _close(fd: int) -> int:
    if fd >= 0:
        os.close(fd)
    return -1
