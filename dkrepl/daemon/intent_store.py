"""Opens a node's bitmaps and its intent log, brings them up to date after a crash, and makes commits durable."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import msgspec

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.actions import Commit
from dkrepl.core.intent.activity_log import ActivityLog
from dkrepl.core.lineage import peer_records
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.daemon.outside import Report
from dkrepl.daemon.storage import State, Store
from dkrepl.errors import StoreError


class IntentStore:
    """The bitmaps of a node on stable storage, and its intent log; ``metadata`` is the record after the opening.

    It is opened alike in both roles, so that a change of the role is a change of the metadata and nothing else. What
    a source leaves as active is settled by whichever role follows.
    """

    def __init__(
        self,
        state: State,
        metadata: NodeMetadata,
        peers: Iterable[str],
        store: Store,
        report: Report,
        *,
        limits: Limits = DEFAULT,
    ) -> None:
        """Open the log. Raises ``MetadataError``.

        A bitmap that was kept in memory, or closed cleanly, within this boot of the kernel is exact. For any other,
        power may have been lost: every block of every active extent may differ (R1), and a bitmap that a target had not
        made durable is worth nothing. Damage: every block of the target may differ, and it is said (R9). If what a
        source left as active cannot be flushed by the target that it is now, all of it is marked, and the copy is
        Inconsistent (R15).
        """
        self._state = state
        self._bitmaps_owed = False
        state.make_intent_directory()
        self._active = state.activity_file()
        boot = state.boot_id()
        same_boot = metadata.boot == boot
        self.files = {name: state.bitmap_file(metadata, name, same_boot, limits) for name in peers}
        state.forget_other_bits(self.files)
        active = self._active.record.extents
        crashed = bool(active)
        extents = -(-metadata.size // metadata.extent)
        lost = []
        readable = not (self._active.created or self._active.damage)
        if readable:
            self._active.open()  # durable first: bits that change where no extent is active look damaged (R9)
        # What a target has, and did not write as source, is elsewhere too: nothing of it need be named, or saved aside.
        borrowed = metadata.role == "target" and not metadata.generation_at
        for name, file in self.files.items():
            record = peer_records.record_of(metadata, name)
            damage = file.damage or self._active.damage
            if file.created or self._active.created:
                damage = damage or "a file of the intent log is missing"
            if record.loose and not file.exact:
                lost.append(name)
            if not damage and not record.loose and (bad := file.bitmap.damaged(active)):
                damage = f"{len(bad)} of {extents} extents in {file.path} fail their check"
            if damage and record.tracked and borrowed:
                lost.append(name)
                report("bitmap_damaged", "error", {"target": name, "reason": damage, "outcome": "full resync"})
            elif damage and record.tracked:
                file.bitmap.fill(1)
                report("bitmap_damaged", "error", {"target": name, "reason": damage, "outcome": "full resync"})
            elif damage:
                file.bitmap.fill(0)  # nothing rests on it: who never joined is copied in full, or nothing was written
            elif not file.exact:
                file.bitmap.mark_extents(e for e in active if e < extents)
            if record.loose and not damage:
                file.bitmap.seal_all()
            file.sync()
        if not readable:
            self._active.open()  # what it could not tell is lost now; the bitmaps say it
        if crashed:
            fields: dict[str, object] = {
                "active_extents": len(active),
                "power_lost": not same_boot,
                "exact": sorted(name for name, file in self.files.items() if file.exact),
                "dirty_blocks": {name: file.bitmap.count() for name, file in self.files.items()},
            }
            report("activity_log_recovered", "warning", fields)
        # No bitmap is kept for a target that the description leaves out: back in it, the target is copied in full (R2).
        lost += [name for name in metadata.peers if name not in self.files]
        opened = peer_records.fastened(peer_records.untracked(metadata, lost))
        if metadata.role == "target" and active:
            try:
                store.sync()  # else a power loss could take what it wrote as source, and nothing would name it
            except StoreError as error:
                # R15: it may be lost already, so all of it is named, and this copy is no state of the mirror's.
                for file in self.files.values():
                    file.bitmap.mark_extents(e for e in active if e < extents)
                opened = msgspec.structs.replace(opened, store_state="Inconsistent")
                report("store_failed", "error", {"reason": str(error)})
            self._seal_all()
            self._active.write(self._active.record.serial + 1, ())
            active = frozenset()
        lost_power = metadata.role == "target" and metadata.unsettled and not same_boot
        opened = msgspec.structs.replace(opened, power_lost=metadata.power_lost or lost_power)
        self.metadata = msgspec.structs.replace(opened, boot=boot)
        if self.metadata != metadata:
            state.write_metadata(self.metadata)
        for name in set(lost).intersection(self.files) if borrowed else ():
            self.files[name].bitmap.fill(0)  # only after it is recorded that these bitmaps do not count
            self.files[name].sync()
        for name, file in self.files.items():
            file.adopt()  # last: a process that dies before this does all of it again
            if file.not_kept:
                report("bitmap_memory_not_kept", "warning", {"target": name, "reason": file.not_kept})
        within = (e for e in active if e < extents)
        self.log = ActivityLog(extents, within, self._active.record.serial, limits=limits)

    def _seal_all(self) -> None:
        for file in self.files.values():
            file.bitmap.seal_all()
            file.sync()

    def settle(self, metadata: NodeMetadata, store: Store) -> None:
        """A target ends cleanly: make its store and bitmaps durable, and record that they are.

        Raises ``MetadataError``, and ``StoreError``; then nothing is recorded.
        """
        store.sync()
        settled = msgspec.structs.replace(peer_records.fastened(metadata), unsettled=False)
        if settled != metadata:
            self._seal_all()
            self._state.write_metadata(settled)

    def commit(self, commit: Commit, store: Store) -> None:
        """Make a commit durable, in the order that its docstring gives (R1). Runs in a worker thread."""
        # A record may rest on bitmaps that an earlier commit failed to make durable: then the later ones do it first.
        self._bitmaps_owed |= commit.sync_bitmaps
        if commit.sync_store:
            store.sync()
        if self._bitmaps_owed:
            for file in self.files.values():
                file.sync()
            self._bitmaps_owed = False
        if commit.active is not None:
            self._active.write(*commit.active)
        if commit.metadata is not None:
            self._state.write_metadata(commit.metadata)

    def close(self) -> None:
        """Write the bitmaps out and close the files. Raises ``MetadataError``, after it has closed all of them."""
        with contextlib.ExitStack() as closing:
            closing.callback(self._active.close)
            for file in self.files.values():
                closing.callback(file.close)
