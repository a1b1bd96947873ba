"""Pages that say which write they are of, so that a reader knows what it sees, and whether all of it is there.

    python3 -c PAGES fill DEVICE OFFSET LENGTH NUMBER
    python3 -c PAGES write DEVICE OFFSET LENGTH THREADS SEED FIRST
    python3 -c PAGES read PATH

``PAGES`` is the text of this file, which needs nothing but Python: a node in a container is given it that way.

*fill* writes every page of the area once, all as the write NUMBER, and flushes. *write*: each thread writes pages of
its own part of the area, one at a time, in random order, and after each answer prints "PLACE NUMBER"; its numbers
begin behind FIRST. It ends when standard input ends; if a write fails it prints "error ..." and ends with 1. *read*
prints a line "PLACE NUMBER SEEN" for each line "PLACE NUMBER" of standard input.
"""

from __future__ import annotations

import mmap
import os
import random
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator

PAGE = 4096
_RUN = 256 * PAGE  # bytes of one write of ``fill``
_MARK = struct.Struct("<QQ")
TORN = -1  # in place of the number of a write: the page holds parts of two, or of none


def pattern(number: int, place: int, size: int = PAGE) -> bytes:
    """Return the page that write ``number`` writes at the offset ``place``."""
    return _MARK.pack(number, place) * (size // _MARK.size)


def number_in(page: bytes, place: int) -> int:
    """Return the number of the write that ``page`` is of; -1 if it is not the whole page of a write to ``place``."""
    number, where = _MARK.unpack_from(page)
    return int(number) if where == place and page == pattern(number, place, len(page)) else TORN


def compared(read: Callable[[int], bytes], answered: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Yield (place, number, the number seen there) for each page that was answered; a later write may be there."""
    for place, number in answered:
        yield place, number, number_in(read(place), place)


def compared_in(path: str, answered: Iterable[tuple[int, int]], size: int = PAGE) -> Iterator[tuple[int, int, int]]:
    """As ``compared``, in a store or a device; what the kernel has read of it before is read again."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        yield from compared(lambda at: os.pread(file, size, at), answered)
    finally:
        os.close(file)


def fill(path: str, first: int, length: int, number: int) -> None:
    """Write an area of a device, and flush it."""
    device = os.open(path, os.O_RDWR | os.O_DIRECT)
    buffer = mmap.mmap(-1, _RUN)  # O_DIRECT wants memory that is aligned
    for start in range(first, first + length, _RUN):
        places = range(start, min(start + _RUN, first + length), PAGE)
        for i, place in enumerate(places):
            buffer[i * PAGE : (i + 1) * PAGE] = pattern(number, place)
        with memoryview(buffer) as view, view[: len(places) * PAGE] as part:
            os.pwrite(device, part, start)
    os.fsync(device)
    os.close(device)


def _write(path: str, first: int, length: int, part: int, threads: int, seed: int, number: int) -> None:
    """Write pages of one part of an area until the process ends."""
    chosen = random.Random(seed * 1000 + part)
    device = os.open(path, os.O_RDWR | os.O_DIRECT)
    buffer = mmap.mmap(-1, PAGE)
    pages = length // threads // PAGE
    while not _ended.is_set():
        number += 1
        place = first + (part * pages + chosen.randrange(pages)) * PAGE
        buffer[:] = pattern(number, place)
        try:
            os.pwritev(device, [buffer], place)
        except OSError as error:
            os.write(1, f"error {place} {error}\n".encode())
            os._exit(1)
        os.write(1, f"{place} {number}\n".encode())


_ended = threading.Event()


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    if arguments[0] == "fill":
        first, length, number = map(int, arguments[2:])
        fill(arguments[1], first, length, number)
    elif arguments[0] == "write":
        path, (first, length, threads, seed, number) = arguments[1], map(int, arguments[2:])
        writing = [
            threading.Thread(target=_write, args=(path, first, length, part, threads, seed, number))
            for part in range(threads)
        ]
        for thread in writing:
            thread.start()
        sys.stdin.read()
        _ended.set()
        for thread in writing:
            thread.join()
    else:
        wanted = (tuple(map(int, line.split())) for line in sys.stdin)
        for found in compared_in(arguments[1], ((place, number) for place, number in wanted)):
            print(*found)


if __name__ == "__main__" and len(sys.argv) > 1:
    main(sys.argv[1:])
