"""Opens a source's intent log, brings it up to date after a crash, and makes its commits durable."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from dkrepl.core.actions import Commit
from dkrepl.core.intent_log import IntentLog
from dkrepl.core.metadata import NodeMetadata
from dkrepl.io import durable_file, metadata_file
from dkrepl.io.intent_files import ActiveFile, BitmapFile
from dkrepl.io.store import BackingStore

Tell = Callable[[str, str, dict[str, object]], None]


class IntentStore:
    """The intent log of a source on stable storage; ``metadata`` is the record after the opening."""

    def __init__(self, state_dir: Path, metadata: NodeMetadata, targets: Iterable[str], tell: Tell) -> None:
        """Open the log. Raises ``MetadataError``.

        Same boot of the kernel: the bitmaps are exact, for the page cache kept them. Another boot: power may have
        been lost, so every block of every active extent may differ, for every target (R1). Damage: every block of
        the target may differ, and it is said (R9).
        """
        self._state_dir = state_dir
        directory = state_dir / "intent"
        if not directory.exists():
            directory.mkdir(mode=0o700)
            durable_file.sync_directory(state_dir)
        self._active = ActiveFile(directory / "active")
        self.files = {name: BitmapFile(directory / f"{name}.bitmap", metadata, name) for name in targets}
        active = self._active.record.extents
        boot = metadata_file.boot_id()
        crashed = bool(active)
        other_boot = metadata.boot != boot
        extents = -(-metadata.size // metadata.extent)
        for name, file in self.files.items():
            record = metadata.peers.get(name)
            tracked = record is not None and record.offered > 0
            damage = file.damage or self._active.damage
            if file.created or self._active.created:
                damage = damage or "a file of the intent log is missing"
            if not damage and (bad := file.bitmap.damaged(active)):
                damage = f"{len(bad)} of {extents} extents in {file.path} fail their check"
            if damage and tracked:
                file.bitmap.fill(1)
                tell("bitmap_damaged", "error", {"target": name, "reason": damage, "outcome": "full resync"})
            elif damage:
                file.bitmap.fill(0)  # nothing rests on it: who never joined is copied in full, or nothing was written
            elif other_boot:
                file.bitmap.mark_extents(e for e in active if e < extents)
            file.sync()
        self._active.open()
        if crashed:
            fields: dict[str, object] = {
                "active_extents": len(active),
                "power_lost": other_boot,
                "dirty_blocks": {name: file.bitmap.count() for name, file in self.files.items()},
            }
            tell("intent_log_recovered", "warning", fields)
        # No bitmap is kept for a target that the description leaves out: back in it, the target is copied in full (R2).
        peers = {
            name: record if name in self.files else msgspec.structs.replace(record, join=0, offered=0)
            for name, record in metadata.peers.items()
        }
        self.metadata = msgspec.structs.replace(metadata, boot=boot, peers=peers)
        if self.metadata != metadata:
            metadata_file.write(state_dir, self.metadata)
        self.log = IntentLog(extents, (e for e in active if e < extents), self._active.record.serial)

    def commit(self, commit: Commit, store: BackingStore) -> None:
        """Make a commit durable, in the order that its docstring gives (R1). Runs in a worker thread."""
        if commit.sync_store:
            store.sync()
        if commit.sync_bitmaps:
            for file in self.files.values():
                file.sync()
        if commit.active is not None:
            self._active.write(*commit.active)
        if commit.metadata is not None:
            metadata_file.write(self._state_dir, commit.metadata)

    def close(self) -> None:
        """Close the files."""
        for file in self.files.values():
            file.close()
        self._active.close()
