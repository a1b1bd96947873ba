"""Prepares a node for a mirror: makes the store if it is missing and writes the first metadata record.

Safe by default: a store that holds something is refused, with what was found, unless the administrator says what is to
become of it; nothing has been changed then.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from dkrepl.core.lineage.metadata import FORMAT, NodeMetadata, StoreState
from dkrepl.errors import Refused, StateDirectoryError, StoreError
from dkrepl.io.state import description_file, metadata_file
from dkrepl.io.state.paths import Paths
from dkrepl.io.store.contents import is_empty, what_it_holds
from dkrepl.io.store.sparse_file import create_sparse
from dkrepl.io.store.store import BackingStore


def initialise(
    paths: Paths, mirror: str, node_name: str | None, keep_data: bool = False, overwrite_data: bool = False
) -> dict[str, Any]:
    """Initialise this node and return what was done.

    ``keep_data``: what the store holds becomes the mirror's data (source only). ``overwrite_data``: what it holds
    may be overwritten by the source (target only). Raises ``Refused``, ``StoreError``, ``DescriptionError``.
    """
    description = description_file.load(mirror, paths.etc)
    node = description_file.which_node(description, node_name)
    role = "source" if node.name == description.source else "target"
    state_dir = paths.state_dir(mirror)
    if (state_dir / metadata_file.FILE).exists():
        raise Refused(
            f"{mirror} is already initialised on {node.name}; to start afresh stop dkrepl@{mirror} "
            f"and move {state_dir} away"
        )
    if keep_data and role == "target":
        raise Refused(
            f"{node.name} is a target of {mirror}: its data cannot be kept; give --keep-data on {description.source}"
        )
    if overwrite_data and role == "source":
        raise Refused(f"{node.name} is the source of {mirror}: nothing overwrites it; give --keep-data to use its data")
    path = Path(node.store)
    created = not path.exists()
    if created:
        if path.is_relative_to("/dev") and not path.is_relative_to("/dev/shm"):
            raise StoreError(f"the block device {path} does not exist; check the store of {node.name}")
        create_sparse(path, description.size)
    store = BackingStore(path)
    try:
        if store.size < description.size:
            raise StoreError(
                f"the store {path} has {store.size} bytes, the mirror needs {description.size}; use a larger one"
            )
        empty = created or is_empty(store)
        if not empty and not keep_data and not overwrite_data:
            way = (
                "--keep-data to use what it holds" if role == "source" else "--overwrite-data to let it be overwritten"
            )
            raise Refused(f"the store {path} holds something ({what_it_holds(store)}); nothing was changed; give {way}")
    finally:
        store.close()
    state: StoreState = "Empty" if empty else "Consistent" if role == "source" else "Inconsistent"
    record = NodeMetadata(
        format=FORMAT,
        mirror=mirror,
        mirror_id=uuid.uuid4().hex if role == "source" else "",
        node=node.name,
        role="source" if role == "source" else "target",
        size=description.size,
        block=description.block,
        extent=description.extent,
        store_state=state,
    )
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StateDirectoryError(f"cannot make {state_dir} ({error.strerror})") from error
    metadata_file.write(state_dir, record)
    return {
        "mirror": mirror,
        "node": node.name,
        "role": role,
        "store": str(path),
        "created": created,
        "store_state": state,
    }
