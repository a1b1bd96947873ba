"""What a mirror is: the description file, the same on all its nodes, read into checked values.

Order of checks: TOML, unknown keys, each key by itself, then what keys say together. Every mistake is one
sentence that names the key, the value found and what is expected. Nothing here touches a file or a host.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from typing import Literal, NoReturn

import msgspec

from dkrepl.config import schema as keys
from dkrepl.config.units import MIB, exact_size, format_count
from dkrepl.errors import DescriptionError, NotFound

FEWEST_NODES, MOST_NODES = 2, 32
MOST_BLOCKS = 1 << 32
"""R5: the intent log of one target stays within 512 MiB."""

ENVIRONMENT = ("DKREPL_ASYNC_LIMIT", "LKDR_ASYNC_LIMIT")
"""Variables that override async_limit on every node, the first that is set wins."""


class Node(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One host of a mirror. Optional keys are already resolved from the mirror's."""

    name: str
    address: str
    """Host name or IP address (IPv6 without brackets) that the peers connect to."""
    store: str
    """Absolute path of the backing file or block device."""
    mode: Literal["sync", "async"]
    """How the node is written to while it is a target."""
    control_port: int
    data_port: int
    on_full: Literal["block", "bitmap"]
    async_limit: int
    """Most writes sent to this node and not yet confirmed."""
    public_key: str = ""
    """By which the other nodes know this one (base64)."""
    next_public_key: str = ""
    """Accepted as well, while keys are replaced."""

    @property
    def public_keys(self) -> tuple[str, ...]:
        """The keys by which this node may be known, the present one first."""
        return tuple(key for key in (self.public_key, self.next_public_key) if key)


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One mirror. Sizes are bytes."""

    name: str
    size: int
    source: str
    """The node that is source when the mirror is initialised; afterwards the metadata rules."""
    block: int
    extent: int
    async_limit: int
    window: int
    """Most bytes sent to one target and not yet confirmed."""
    on_full: Literal["block", "bitmap"]
    resync_rate: int
    """Bytes per second; 0 is no limit."""
    peer_timeout: float
    """Seconds without a sign of life after which a peer counts as gone."""
    store_timeout: float
    """Seconds for which a store may stand still before a target is evicted, or the source counts as gone."""
    start_alone: float | None
    """Seconds that a node which was source waits for its peers' answers before it serves; None: for ever."""
    on_diverged: Literal["keep", "ask"]
    """Whether a node's own blocks are replaced once they are saved aside, or only when an administrator agrees."""
    min_copies: int
    """Copies, the source's own among them, that must be able to confirm a write."""
    on_no_quorum: Literal["wait", "error"]
    """What happens to writes while fewer can."""
    security: Literal["curve", "none"]
    """Whether nodes encrypt and know each other by their keys, or let in anyone who reaches the ports."""
    nodes: tuple[Node, ...]

    @property
    def blocks(self) -> int:
        """How many blocks the intent log covers; the last may be a short one."""
        return -(-self.size // self.block)

    def node(self, name: str) -> Node:
        """Return the node of that name; raises NotFound, which lists the nodes there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.nodes)
        raise NotFound(f"mirror {self.name} has no node {keys.shown(name)}: its nodes are {known}")

    def peers(self, name: str) -> tuple[Node, ...]:
        """Return all nodes but the one of that name; raises NotFound if there is none such."""
        self.node(name)
        return tuple(node for node in self.nodes if node.name != name)


def require_keys(mirror: Description) -> None:
    """Refuse a mirror of which a node cannot be known by its key; raises DescriptionError."""
    if mirror.security == "none":
        return
    for node in mirror.nodes:
        if not node.public_key:
            raise DescriptionError(
                f'{mirror.name}.toml: node {keys.shown(node.name)} has no public_key, and security is "curve": run '
                f"`dkrepl key generate` on {node.name} and write what it prints here, in the description on every node"
            )


def without_keys(mirror: Description) -> Description:
    """Return the description as it would be without any key: what is left needs a restart to change."""
    bare = (msgspec.structs.replace(node, public_key="", next_public_key="") for node in mirror.nodes)
    return msgspec.structs.replace(mirror, nodes=tuple(bare))


def parse(text: str, name: str, environ: Mapping[str, str]) -> Description:
    """Return the description in ``text``, found in ``<name>.toml``; raises DescriptionError only."""
    where = f"{name}.toml"
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DescriptionError(f"{where}: not valid TOML: {_one_line(error)}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits; brackets thousands deep
        raise DescriptionError(f"{where}: not valid TOML: a number is too long or nesting too deep") from None

    table = _with_present_names(where, table)
    _refuse_unknown(where, table, [*keys.MIRROR, *keys.SHARED, "node"], keys.NODE, "in a [[node]]")
    values = {key: keys.read(where, key, rule, table) for key, rule in {**keys.MIRROR, **keys.SHARED}.items()}
    if values["name"] != name:
        raise DescriptionError(
            f"{where}: name is {keys.shown(values['name'])}, but it must equal the file's name: "
            f'write name = "{name}" or rename the file'
        )
    values["extent"] = values["extent"] or max(4 * MIB, 8 * values["block"])
    values["store_timeout"] = values["store_timeout"] or max(30.0, 2 * values["peer_timeout"])
    limit = _limit_from(environ)
    if limit is not None:
        values["async_limit"] = limit
    values["nodes"] = tuple(_nodes(where, table, values, limit))
    ports = {"control_port", "data_port"}  # resolved into the nodes
    try:
        description = msgspec.convert({k: v for k, v in values.items() if k not in ports}, Description)
    except msgspec.ValidationError as error:
        raise DescriptionError(f"{where}: {_one_line(error)}") from None
    _check_together(where, description)
    return description


def _with_present_names(where: str, table: Mapping[str, object]) -> dict[str, object]:
    """Return the table with keys under their present names; raises DescriptionError if one is given under both."""
    renamed = dict(table)
    for former, present in keys.FORMER_NAMES.items():
        if former in renamed:
            if present in renamed:
                raise DescriptionError(
                    f"{where}: {former} is the former name of {present}, and both are given: remove {former}"
                )
            renamed[present] = renamed.pop(former)
    return renamed


def _nodes(where: str, table: Mapping[str, object], mirror: Mapping[str, object], limit: int | None) -> list[Node]:
    """Return the nodes, each key from the environment, the node itself or the mirror."""
    raw = table.get("node")
    if raw is None:
        raise DescriptionError(f"{where}: there is no [[node]], but a mirror needs at least {FEWEST_NODES}")
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        raise DescriptionError(f"{where}: node is not a list of tables: begin each node with a line [[node]]")
    if not FEWEST_NODES <= len(raw) <= MOST_NODES:
        raise DescriptionError(
            f"{where}: {len(raw)} [[node]] given, but a mirror has from {FEWEST_NODES} to {MOST_NODES}"
        )
    nodes = []
    for number, entry in enumerate(raw, start=1):
        named = entry.get("name")
        inside = f"{where}: " + (f"node {keys.shown(named)}" if isinstance(named, str) else f"[[node]] {number}")
        _refuse_unknown(inside, entry, [*keys.NODE, *keys.SHARED], keys.MIRROR, "above the first [[node]]")
        values = {key: keys.read(inside, key, rule, entry) for key, rule in keys.NODE.items()}
        for key, rule in keys.SHARED.items():
            values[key] = keys.read(inside, key, rule, entry) if key in entry else mirror[key]
        if limit is not None:
            values["async_limit"] = limit
        nodes.append(msgspec.convert(values, Node))
    return nodes


def _check_together(where: str, mirror: Description) -> None:
    """Refuse what each key by itself cannot show."""

    def refuse(sentence: str) -> NoReturn:
        raise DescriptionError(f"{where}: {sentence}")

    if mirror.extent < 8 * mirror.block:
        refuse(
            f"extent is {exact_size(mirror.extent)}, but it must be at least 8 blocks, "
            f"that is {exact_size(8 * mirror.block)} with block = {exact_size(mirror.block)}"
        )
    if mirror.blocks > MOST_BLOCKS:
        refuse(
            f"size {exact_size(mirror.size)} makes {mirror.blocks} blocks of {exact_size(mirror.block)}, "
            f"but an intent log holds at most {MOST_BLOCKS}: choose a larger block"
        )
    if mirror.store_timeout <= mirror.peer_timeout:
        refuse(
            f"store_timeout is {mirror.store_timeout:g}s, but it must be more than peer_timeout, "
            f"which is {mirror.peer_timeout:g}s"
        )
    names: set[str] = set()
    ports: dict[tuple[str, int], str] = {}
    stores: dict[tuple[str, str], str] = {}
    owners: dict[str, str] = {}
    for node in mirror.nodes:
        if node.name.lower() in names:  # case is ignored, as host names ignore it
            refuse(f"node name {keys.shown(node.name)} is given twice, but each node needs its own")
        names.add(node.name.lower())
        address = node.address.lower().rstrip(".")
        for key in ("control_port", "data_port"):
            port: int = getattr(node, key)
            mine = f"{key} of node {node.name}"
            if (other := ports.setdefault((address, port), mine)) != mine:
                refuse(f"{mine} is {port} at address {node.address}, but so is {other}: change one of them")
        if (other := stores.setdefault((address, node.store), node.name)) != node.name:
            refuse(f"nodes {other} and {node.name} name the same store {node.store} at the same address")
        for key in node.public_keys:
            if key in owners:
                refuse(f"nodes {owners[key]} and {node.name} have the same public key, but each node needs its own")
            owners[key] = node.name
        if node.store == f"/dev/dkrepl/{mirror.name}":
            refuse(f"node {node.name}: store is {node.store}, but that is the mirror's own device")
    copies = sum(node.mode == "sync" for node in mirror.nodes) or 1
    if mirror.min_copies > copies:
        refuse(
            f"min_copies is {mirror.min_copies}, but only {format_count(copies, 'copy', 'copies')} can ever confirm a "
            "write, those of the sync nodes: make more nodes sync, or lower min_copies"
        )
    if mirror.source not in {node.name for node in mirror.nodes}:
        known = ", ".join(node.name for node in mirror.nodes)
        refuse(f"source is {keys.shown(mirror.source)}, but it must be one of the nodes: {known}")


def _refuse_unknown(
    where: str, table: Mapping[str, object], known: list[str], other: Mapping[str, object], there: str
) -> None:
    """Refuse keys that are not known, with the nearest one that is, or the place where it would be right."""
    for key in table:
        if key in known:
            continue
        if key in other:
            advice = f"it belongs {there}"
        elif near := difflib.get_close_matches(key, known, n=1, cutoff=0.5):
            advice = f"did you mean {keys.shown(near[0])}?"
        else:
            advice = f"the keys here are {', '.join(known)}"
        raise DescriptionError(f"{where}: unknown key {keys.shown(key)}: {advice}")


def _limit_from(environ: Mapping[str, str]) -> int | None:
    for variable in ENVIRONMENT:
        text = environ.get(variable, "").strip()
        if text:
            number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text
            return int(keys.read("environment", variable, keys.SHARED["async_limit"], {variable: number}))
    return None


def _one_line(error: Exception) -> str:
    return keys.printable(" ".join(str(error).split()))
