"""Runs on a node: writes single blocks to a device, and says of each that it was answered, until told to stop.

    python3 -c SCRIPT DEVICE OFFSET LENGTH THREADS SEED

Each thread writes blocks of its own part of the area, one at a time. A block holds its number and its place over and
over, so that a reader knows which write it sees and whether all of it is there. After each answer "PLACE NUMBER" is
printed. Ends when standard input ends; ends with 1 and "error ..." if a write fails.
"""

import mmap
import os
import random
import struct
import sys
import threading

SIZE = 4096
DEVICE, OFFSET, LENGTH, THREADS, SEED = sys.argv[1], *map(int, sys.argv[2:6])


def write(part: int, stop: threading.Event) -> None:
    """Write blocks of one part of the area, in random order."""
    chosen = random.Random(SEED * 1000 + part)
    device = os.open(DEVICE, os.O_RDWR | os.O_DIRECT)
    buffer = mmap.mmap(-1, SIZE)  # O_DIRECT wants memory that is aligned
    blocks = LENGTH // THREADS // SIZE
    number = 0
    while not stop.is_set():
        number += 1
        place = OFFSET + (part * blocks + chosen.randrange(blocks)) * SIZE
        buffer[:] = struct.pack("<QQ", number, place) * (SIZE // 16)
        try:
            os.pwritev(device, [buffer], place)
        except OSError as error:
            os.write(1, f"error {place} {error}\n".encode())
            os._exit(1)
        os.write(1, f"{place} {number}\n".encode())


def main() -> None:
    """Write until standard input ends."""
    stop = threading.Event()
    threads = [threading.Thread(target=write, args=(part, stop)) for part in range(THREADS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()


main()
