"""A mirror in use, to which a test does what docs/how-to tells administrators to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.harness.cluster import MIB
from tests.integration.harness.layout import Layout
from tests.integration.harness.node import MIRROR, Node
from tests.integration.harness.reconfigurable import Reconfigurable
from tests.integration.harness.writer import SteadyWriter

THREE = Layout((("alpha", "sync"), ("beta", "sync"), ("gamma", "sync")), min_copies=2)
ALONE = THREE.with_min_copies(1)
FIRST, END = MIB, 8 * MIB  # of the 16 MiB: where the application writes
UNUSED = 12 * MIB  # where nobody writes


@contextmanager
def mirror_in_use(
    directory: Path,
    layout: Layout = THREE,
    spare: tuple[str, ...] = (),
    prepare: Callable[[Reconfigurable], None] = lambda mirror: None,
    **keys: Any,
) -> Iterator[tuple[Reconfigurable, SteadyWriter]]:
    """A mirror in sync that is written to; at the end the account is made, if nothing failed before.

    ``prepare`` is called before any daemon is started.
    """
    mirror = Reconfigurable(directory / "mirror", layout, spare, **keys)
    writer: SteadyWriter | None = None
    try:
        prepare(mirror)
        mirror.start()
        writer = SteadyWriter(mirror.source, FIRST, END)
        writer.wait_for_more()
        yield mirror, writer
        mirror.account(writer, resume=False)
    except BaseException:
        for title, text in mirror.logs():
            print(f"--- {title}\n{text}")
        raise
    finally:
        mirror.close()
        if writer:
            writer.stop()


def take_up(mirror: Reconfigurable, layout: Layout, *order: str) -> None:
    """Write a layout on all nodes and restart the daemons, by default that of the source first."""
    mirror.change(layout)
    source = mirror.source.name
    for name in order or (source, *(one for one in layout.names if one != source)):
        mirror.units[name].restart()
    mirror.wait_source()
    mirror.wait_in_sync()
    code, said, error = mirror.source.cli("config", "diff", MIRROR)
    assert code == 0, said + error


def until(node: Node, what: str, wanted: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Wait until a node answers, and says what is wanted."""
    return node.wait_until(lambda status: status and wanted(status), what)


def done(node: Node, *command: str) -> str:
    """Give a command on a node, which must succeed; return what it prints."""
    code, said, error = node.cli(*command)
    assert code == 0, f"dkrepl {' '.join(command)} on {node.name} ended with {code}: {error}"
    return said


def begin_anew(node: Node, keep_store: bool = False) -> None:
    """Move the record of a node away, and its store too unless that is to be overwritten; ``dkrepl init``."""
    aside = node.state_dir.with_name(f"{MIRROR}.old")
    shutil.rmtree(aside, ignore_errors=True)
    node.state_dir.rename(aside)
    if not keep_store:
        node.store.unlink()
    node.initialise(overwrite_data=keep_store)
