"""Applications that write in threads of this process, and know which of their writes were answered."""

from __future__ import annotations

import mmap
import os
import random
import threading
import time
from pathlib import Path

from tests.integration.harness.node import MIRROR, Node
from tests.lab.pages import PAGE, pattern
from tests.lab.waiting import wait_for
from tests.lab.workload import Account, Missing, first_number


class Writer:
    """Writes at random places with O_DIRECT, in ``threads`` threads that share nothing.

    It ends at the first error; if it is ``steady`` it opens the device again and goes on.
    """

    def __init__(
        self,
        device: Path,
        first: int,
        end: int,
        threads: int = 4,
        seed: int = 1,
        pages: tuple[int, ...] = (1, 1, 2, 5, 16),
        flush_every: int = 0,
        steady: bool = False,
    ) -> None:
        """Write pages from offset ``first`` up to ``end``; ``flush_every``: writes of a thread between two flushes."""
        self.account = Account()
        self.error: OSError | None = None  # the last one
        self.errors = 0
        self.longest = 0.0  # seconds between two answers to a thread, while it was to write
        self._device = device
        self._pages, self._flush_every, self._seed, self._steady = pages, flush_every, seed, steady
        self._number = first_number()
        self._ended = False
        self._running = threading.Event()
        self._running.set()
        self._busy = [True] * threads
        width = (end - first) // threads // PAGE * PAGE
        self._threads = [
            threading.Thread(target=self._work, args=(i, first + i * width, first + (i + 1) * width), daemon=True)
            for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    # --- told by the test ----------------------------------------------------------------------------

    def pause(self, seconds: float = 90) -> None:
        """Let every thread end its write and close the device, as an application that is stopped; ``resume`` it."""
        self._running.clear()
        wait_for(lambda: list(self._busy), lambda busy: not any(busy), "the writer's last writes are answered", seconds)

    def resume(self) -> None:
        """Let a writer that was paused go on."""
        self._running.set()

    def stop(self, seconds: float = 90) -> None:
        """End after the writes that are under way."""
        self._ended = True
        self._running.set()
        self.join(seconds)

    def join(self, seconds: float = 60) -> None:
        """Wait until every thread has ended, such as by an error of the device."""
        for thread in self._threads:
            thread.join(seconds)
            assert not thread.is_alive(), f"a write was not answered within {seconds:g} s"

    # --- the account ---------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Writes that were answered."""
        return self.account.count

    def wait_for_more(self, writes: int = 50, seconds: float = 60) -> None:
        """Wait until so many more writes are answered."""
        goal = self.count + writes
        wait_for(lambda: self.count, lambda count: count >= goal, f"{writes} more writes are answered", seconds)

    def blocks(self, block: int) -> set[int]:
        """Return the numbers of the blocks that were touched."""
        return self.account.blocks(block)

    def missing_in(self, path: Path) -> list[Missing]:
        """Return what was answered and a store, or a device, lacks. Only while nothing is on its way."""
        return self.account.missing_in(path)

    def assert_all_in(self, *paths: Path) -> None:
        """Fail unless each of these holds all that was answered."""
        for path in paths:
            lacks = self.missing_in(path)
            assert not lacks, f"{path} lacks {len(lacks)} of {len(self.account.answered)} answered pages: {lacks[0]}"

    # --- the threads ---------------------------------------------------------------------------------

    def _work(self, index: int, first: int, end: int) -> None:
        dice = random.Random(f"{self._seed}/{index}")
        buffer = mmap.mmap(-1, max(self._pages) * PAGE)
        number, fd, done, since = self._number, -1, 0, time.monotonic()
        while not self._ended:
            if not self._running.is_set():
                fd = close(fd)
                self._busy[index] = False
                self._running.wait()
                self._busy[index], since = True, time.monotonic()
                continue
            try:
                fd = self._open() if fd < 0 else fd
                if fd < 0:
                    time.sleep(0.01)  # the device is not there yet
                    continue
                number += 1
                pages = min(dice.choice(self._pages), (end - first) // PAGE)
                offset = first + dice.randrange((end - first) // PAGE - pages + 1) * PAGE
                self._write(fd, buffer, number, range(offset, offset + pages * PAGE, PAGE))
                done += 1
                if self._flush_every and done % self._flush_every == 0:
                    os.fsync(fd)
            except OSError as error:
                fd = close(fd)
                self.error, self.errors = error, self.errors + 1
                if not self._steady:
                    break
                continue
            now = time.monotonic()
            self.longest, since = max(self.longest, now - since), now
        close(fd)
        self._busy[index] = False

    def _write(self, fd: int, buffer: mmap.mmap, number: int, places: range) -> None:
        self.account.begins(places)
        for i, place in enumerate(places):
            buffer[i * PAGE : (i + 1) * PAGE] = pattern(number, place)
        length = len(places) * PAGE
        with memoryview(buffer) as view, view[:length] as part:
            if os.pwrite(fd, part, places.start) != length:
                raise OSError("a short write")
        self.account.answers(number, places)

    def _open(self) -> int:
        """Return a descriptor of the device, -1 if there is none yet."""
        return os.open(self._device, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)


class SteadyWriter(Writer):
    """An application that never gives up: it writes on the device of ``node``, which may be set at any time."""

    def __init__(
        self, node: Node, first: int, end: int, threads: int = 2, seed: int = 1, flush_every: int = 25
    ) -> None:
        self.node = node
        super().__init__(node.device, first, end, threads, seed, (1, 1, 2, 8), flush_every, steady=True)

    def resume(self, node: Node | None = None) -> None:
        """Go on after a pause, on ``node`` if it is given."""
        self.node = node or self.node
        super().resume()

    def missing_in(self, path: Path) -> list[Missing]:
        """As before; a write that failed and is found counts as answered from here on: it may not vanish again."""
        return self.account.missing_in(path, settles=True)

    def _open(self) -> int:
        node = self.node
        try:
            fd = os.open(node.device, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
        except OSError:
            return -1
        # A link that a dead daemon left may name a loop device that is another's by now. While it is open, it is ours.
        name = Path(os.readlink(f"/proc/self/fd/{fd}")).name
        try:
            backing = Path(f"/sys/block/{name}/loop/backing_file").read_text()
        except OSError:
            backing = ""
        return fd if backing.startswith(str(node.paths.mountpoint(MIRROR))) else close(fd)


def close(fd: int) -> int:
    """Close a descriptor, if it is one; return -1."""
    if fd >= 0:
        os.close(fd)
    return -1
