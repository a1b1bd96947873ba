"""The keys of a description file: which there are, what each accepts, what it is without one."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dkrepl.config import public_key
from dkrepl.config.units import GIB, KIB, MIB, exact_size, parse_duration, parse_rate, parse_size
from dkrepl.errors import DescriptionError

SECTOR = 4 * KIB
"""Bytes of which the size of a mirror is a multiple."""
MOST_OUTSTANDING = 1 << 20
REQUIRED = object()

_MIRROR_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
_NODE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?", re.ASCII)
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252})", re.ASCII)


class Rule(NamedTuple):
    """How one key is read: ``accept`` returns the value or raises ValueError("it must be ...")."""

    accept: Callable[[object], object]
    default: object
    example: str


def read(where: str, key: str, rule: Rule, table: Mapping[str, object]) -> Any:
    """Return the checked value of a key, or its default; raises DescriptionError with the whole sentence."""
    if key not in table:
        if rule.default is REQUIRED:
            raise DescriptionError(f"{where}: {key} is missing: write for example {key} = {rule.example}")
        return rule.default
    try:
        return rule.accept(table[key])
    except ValueError as error:
        raise DescriptionError(f"{where}: {key} is {shown(table[key])}, but {error}") from None


def shown(value: object) -> str:
    """Return a value as an error shows it: as in the file, short, nothing that could move a cursor."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= 1 << 64:  # Python refuses to print the longest ones
        return "a number beyond 64 bits"
    if isinstance(value, str):
        return f'"{_short(printable(value))}"'
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "a table"
    return _short(printable(str(value)))


def printable(text: str) -> str:
    """Return the text with everything that is not printable escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _name(value: object) -> str:
    if isinstance(value, str) and _MIRROR_NAME.fullmatch(value):
        return value
    raise ValueError("it must be a lower-case letter, then up to 31 lower-case letters, digits or hyphens")


def _node_name(value: object) -> str:
    if isinstance(value, str) and _NODE_NAME.fullmatch(value):
        return value
    raise ValueError("it must be the host name of the node: letters, digits, hyphens and dots, at most 64")


def _address(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("it must be a host name or an IP address in quotes")
    ip = _ip(value)
    if ip is not None:
        if ip.is_unspecified or ip.is_multicast:
            raise ValueError("it must be an address that the other nodes can connect to")
        return str(ip)
    if re.fullmatch(r"[^:]+:[0-9]+|\[.*\]:[0-9]+", value):
        raise ValueError("it must be given without a port: the ports are control_port and data_port")
    if _HOST_NAME.fullmatch(value) and not re.fullmatch(r"[0-9.]+", value):
        return value
    raise ValueError("it must be a host name or an IP address")


def _ip(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    bare = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    try:
        return ipaddress.ip_address(bare)
    except ValueError:
        return None


def _store(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or value[:1] != "/" or value.endswith("/"):
        raise ValueError("it must be the absolute path of a file or block device")
    if any(part in ("..", ".", "") for part in value.split("/")[1:]):
        raise ValueError('it must be an absolute path without "..", "." or doubled slashes')
    return value


def _size(value: object) -> int:
    size = parse_size(value)
    if size == 0 or size % SECTOR:
        raise ValueError("it must be a multiple of 4KiB and not 0")
    return size


def _power(smallest: int, largest: int) -> Callable[[object], int]:
    def accept(value: object) -> int:
        size = parse_size(value)
        if not smallest <= size <= largest or size & (size - 1):
            limits = f"from {exact_size(smallest)} to {exact_size(largest)}"
            raise ValueError(f"it must be a power of two {limits}")
        return size

    return accept


def _window(value: object) -> int:
    size = parse_size(value)
    if not 4 * MIB <= size <= 16 * GIB:
        raise ValueError("it must be from 4MiB to 16GiB")
    return size


def _whole(smallest: int, largest: int, expected: str) -> Callable[[object], int]:
    def accept(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and smallest <= value <= largest:
            return value
        raise ValueError(expected)

    return accept


def _peer_timeout(value: object) -> float:
    seconds = parse_duration(value)
    if not 1 <= seconds <= 60:
        raise ValueError("it must be from 1s to 60s")
    return seconds


def _store_timeout(value: object) -> float:
    seconds = parse_duration(value)
    if not 5 <= seconds <= 600:
        raise ValueError("it must be from 5s to 600s")
    return seconds


def _start_alone(value: object) -> float | None:
    return None if value == "never" else parse_duration(value)


def _one_of(*words: str) -> Callable[[object], str]:
    def accept(value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise ValueError("it must be " + " or ".join(f'"{word}"' for word in words))

    return accept


_port = _whole(1, 65535, "it must be a port number from 1 to 65535")
_limit = _whole(
    3,
    MOST_OUTSTANDING,
    f"it must be a whole number of writes greater than 2, at most {MOST_OUTSTANDING}",
)

MIRROR: dict[str, Rule] = {
    "name": Rule(_name, REQUIRED, '"r0"'),
    "size": Rule(_size, REQUIRED, '"1GiB"'),
    "source": Rule(_node_name, REQUIRED, '"alpha"'),
    "block": Rule(_power(SECTOR, MIB), 64 * KIB, '"64KiB"'),
    "extent": Rule(_power(8 * SECTOR, 64 * MIB), 0, '"4MiB"'),  # 0: 4MiB, or 8 blocks if that is more
    "window": Rule(_window, 64 * MIB, '"64MiB"'),
    "resync_rate": Rule(parse_rate, 0, '"100MiB/s"'),
    "peer_timeout": Rule(_peer_timeout, 5.0, '"5s"'),
    "store_timeout": Rule(_store_timeout, 0.0, '"30s"'),  # 0: 30s, or twice peer_timeout if that is more
    "start_alone": Rule(_start_alone, None, '"never"'),
    "on_diverged": Rule(_one_of("keep", "ask"), "keep", '"keep"'),
    "security": Rule(_one_of("curve", "none"), "curve", '"curve"'),
    "min_copies": Rule(_whole(1, 32, "it must be a whole number of copies from 1 to 32"), 1, "2"),
    "on_no_quorum": Rule(_one_of("wait", "error"), "wait", '"wait"'),
}
"""Keys that stand above the first [[node]] only."""

FORMER_NAMES = {"on_too_few": "on_no_quorum"}
"""Keys of the mirror that had another name once, and what they are called now: both are read."""

SHARED: dict[str, Rule] = {
    "async_limit": Rule(_limit, 256, "256"),
    "on_full": Rule(_one_of("block", "bitmap"), "block", '"block"'),
    "control_port": Rule(_port, 7400, "7400"),
    "data_port": Rule(_port, 7401, "7401"),
}
"""Keys of the mirror that a [[node]] may set for itself."""

NODE: dict[str, Rule] = {
    "name": Rule(_node_name, REQUIRED, '"alpha"'),
    "address": Rule(_address, REQUIRED, '"10.0.0.1"'),
    "store": Rule(_store, REQUIRED, '"/var/lib/dkrepl/r0.img"'),
    "mode": Rule(_one_of("sync", "async"), "sync", '"sync"'),
    "public_key": Rule(public_key.as_public, "", "what `dkrepl key show` prints on that node, in quotes"),
    "next_public_key": Rule(public_key.as_public, "", "what `dkrepl key show --next` prints on that node, in quotes"),
}
"""Keys of a [[node]]."""
