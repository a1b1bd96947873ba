"""Does a backing store hold something, and what? Asked before anything is overwritten, never after."""

from __future__ import annotations

import subprocess
from typing import Final

from dkrepl.io.store.store import BackingStore

_CHUNK: Final = 1 << 20
_ZEROES: Final = bytes(_CHUNK)
#: Bytes that ``is_empty`` reads at most before it gives up, and says "not empty".
EFFORT: Final = 1 << 30
_BLKID_SECONDS: Final = 10.0
#: What blkid(8) may find, in the order in which it is told.
_KEYS: Final = ("TYPE", "PTTYPE", "LABEL")


def is_empty(store: BackingStore, effort: int = EFFORT) -> bool:
    """Report whether the store certainly holds nothing but zeroes, after reading ``effort`` bytes at most."""
    return _first_data(store, effort) is None


def what_it_holds(store: BackingStore, effort: int = EFFORT) -> str:
    """Return a few words for a refusal: a signature that blkid knows, or where the first data is.

    "nothing" if the store is empty.
    """
    signature = _signature(store)
    if signature:
        return signature
    found = _first_data(store, effort)
    if found is None:
        return "nothing"
    offset, seen = found
    return f"data at offset {offset}" if seen else f"no data in the part looked at, before offset {offset}"


def _first_data(store: BackingStore, effort: int) -> tuple[int, bool] | None:
    """Return (offset, True) of a non-zero sector, (offset, False) where looking ended, None if all zeroes."""
    left = effort
    for start, length in store.data_ranges():
        for offset in range(start, start + length, _CHUNK):
            size = min(_CHUNK, start + length - offset)
            if left < size:
                return offset, False
            left -= size
            data = store.read(offset, size)
            if data != _ZEROES[:size]:
                return offset + (size - len(data.lstrip(b"\0"))) // 512 * 512, True
    return None


def _signature(store: BackingStore) -> str | None:
    """Return what blkid(8) recognises, such as ``ext4 "data"``; None if nothing, or if it is not there."""
    try:
        done = subprocess.run(
            ["blkid", "--probe", "--output", "export", f"/proc/self/fd/{store.fd}"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_BLKID_SECONDS,
            check=False,
            pass_fds=(store.fd,),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    words = [f'"{found[key]}"' if key == "LABEL" else found[key] for key in _KEYS if key in found]
    return " ".join(words) or None
