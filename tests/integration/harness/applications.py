"""Applications on the device: fio, and a writer that remembers what was acknowledged."""

from __future__ import annotations

import hashlib
import itertools
import mmap
import os
import random
import subprocess
import threading
from pathlib import Path

PAGE = 4096
_runs = itertools.count(1)


def run(*command: object, seconds: float = 100) -> str:
    """Run a command that must succeed; return its output."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}"
    return done.stdout


def fio_command(device: Path, *options: str, name: str = "job") -> list[str]:
    """Return a fio command that writes at random places, then reads it all back and compares."""
    return [
        *("fio", f"--name={name}", f"--filename={device}", "--rw=randwrite", "--direct=1", "--ioengine=libaio"),
        *("--iodepth=16", "--randseed=7", "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0"),
        *options,
    ]


class Fio:
    """fio in the background."""

    def __init__(self, device: Path, *options: str, name: str = "job") -> None:
        self._process = subprocess.Popen(
            fio_command(device, *options, name=name), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def finish(self, seconds: float = 100) -> None:
        """Wait for its end; fails if it saw an error or read back something else than it wrote."""
        out, _ = self._process.communicate(timeout=seconds)
        assert self._process.returncode == 0, out

    def end(self) -> None:
        """End it, whatever it does."""
        if self.running:
            self._process.kill()
        self._process.communicate(timeout=100)


class Writer:
    """Writes at random places with O_DIRECT in ``threads`` threads and notes each write that was acknowledged.

    Every write has a number; a page of it is a pattern made of the number and the page's offset. After the end,
    a page must hold the newest acknowledged write of it, or the one that was not answered any more.
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
    ) -> None:
        """Write pages from offset ``first`` up to ``end``; ``flush_every``: writes between two flushes."""
        self.acknowledged: dict[int, int] = {}  # page offset -> number of its newest acknowledged write
        self.unanswered: dict[int, int] = {}
        self.touched: set[int] = set()  # page offsets of every write that was begun
        self.error: OSError | None = None
        self.count = 0
        self._run = next(_runs)  # no two writers write the same, so what one left is not taken for what another wrote
        self._device = device
        self._pages = pages
        self._flush_every = flush_every
        self._stop = threading.Event()
        width = (end - first) // threads // PAGE * PAGE
        self._threads = [
            threading.Thread(
                target=self._write, args=(first + i * width, first + (i + 1) * width, i, threads, seed), daemon=True
            )
            for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 60) -> None:
        """End after the writes that are under way."""
        self._stop.set()
        self.join(seconds)

    def join(self, seconds: float = 60) -> None:
        """Wait until every thread has ended, such as by an error of the device."""
        for thread in self._threads:
            thread.join(seconds)
            assert not thread.is_alive(), "a write is not answered"

    def blocks(self, block: int) -> set[int]:
        """Return the numbers of the blocks that were touched."""
        return {offset // block for offset in self.touched}

    def assert_all_in(self, path: Path) -> None:
        """Fail unless every acknowledged write is in ``path`` (a store or the device)."""
        wrong = []
        with path.open("rb", buffering=0) as file:
            for offset, number in self.acknowledged.items():
                page = os.pread(file.fileno(), PAGE, offset)
                if page != pattern(number, offset):
                    late = self.unanswered.get(offset)
                    if late is None or page != pattern(late, offset):
                        wrong.append((offset, number))
        assert not wrong, f"{path} lacks {len(wrong)} of {len(self.acknowledged)} acknowledged pages, as {wrong[:5]}"

    def _write(self, first: int, end: int, index: int, step: int, seed: int) -> None:
        dice = random.Random(f"{seed}/{index}")
        buffer = mmap.mmap(-1, max(self._pages) * PAGE)
        number = index + self._run * 1_000_000_000
        fd = -1
        try:
            fd = os.open(self._device, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
            while not self._stop.is_set():
                number += step
                pages = min(dice.choice(self._pages), (end - first) // PAGE)
                offset = first + dice.randrange((end - first) // PAGE - pages + 1) * PAGE
                offsets = range(offset, offset + pages * PAGE, PAGE)
                for i, at in enumerate(offsets):
                    buffer[i * PAGE : (i + 1) * PAGE] = pattern(number, at)
                self.touched.update(offsets)
                self.unanswered.update(dict.fromkeys(offsets, number))
                with memoryview(buffer) as view, view[: pages * PAGE] as part:
                    if os.pwrite(fd, part, offset) != pages * PAGE:
                        raise OSError("a short write")
                for at in offsets:
                    self.acknowledged[at] = self.unanswered.pop(at)
                self.count += 1
                if self._flush_every and self.count % self._flush_every == 0:
                    os.fsync(fd)
        except OSError as error:
            self.error = error
        finally:
            if fd >= 0:
                os.close(fd)


def pattern(number: int, offset: int) -> bytes:
    """Return the page that write ``number`` writes at ``offset``."""
    seed = hashlib.blake2b(f"{number}/{offset}".encode(), digest_size=32).digest()
    return seed * (PAGE // 32)
