"""The rules R14 and R15: descriptions agree, and what makes a copy worth less is not forgotten."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from dkrepl.config.terms import Terms, min_copies, required, sync_nodes
from dkrepl.core.lineage.generation import decide
from dkrepl.core.protocol.messages import Hello
from tests.simulation.world import RuleBroken

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.machine import Machine
    from tests.simulation.process import Process


class Known:
    """What is known of a machine, whatever its daemon remembers."""

    def __init__(self) -> None:
        self.store_failed = False  # as source it has recorded that a flush failed, and nobody has lifted that
        self.copy_failed = False  # as target its store has failed a flush, and it was not in sync since
        self.full: set[str] = set()  # targets to which all blocks are to be copied: the administrator was told so
        self.full_asked: set[str] = set()  # the same, but the command has no answer yet
        self.full_begun: set[str] = set()  # the same, answered or not, until all of it is being copied
        self.former: list[Terms] = []  # as source: older terms that too few nodes know to be replaced
        self.knowing: set[str] = set()  # who has been in the stream of its present run as source


class Verdicts:
    """Raises ``RuleBroken``; changes nothing."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    # --- a source ------------------------------------------------------------------------------------

    def source_started(self, process: Process) -> None:
        """A source begins; its record is still that of its predecessor."""
        known = process.machine.known
        before, now = process.machine.disk.durable_metadata().agreed, required(process.description)
        if before and _electorate(before) != _electorate(now) and before not in known.former:
            known.former.append(before)
        known.knowing = {process.name}
        self._watch(process, known)

    def _watch(self, process: Process, known: Known) -> None:
        source: Any = process.runtime.source
        targets, verdict = source.targets, source.store_verdict
        resync, clear, on_message = targets.resync, verdict.clear, source.on_message

        def noted_resync(name: str, full: bool, now: float) -> Any:
            if full:
                known.full_asked.add(name)
                known.full_begun.add(name)
            return resync(name, full, now)

        def noted_clear() -> Any:
            known.store_failed = False
            return clear()

        def noted_message(peer: str, message: Any, now: float) -> None:
            view = source.views.get(peer)
            if view is None or not isinstance(message, Hello):
                on_message(peer, message, now)
                return
            found, before = decide(source.metadata, message, False), view.epoch
            on_message(peer, message, now)
            if found.action == "Refuse" and view.state == "Connecting" and view.epoch > before:
                raise RuleBroken("R7", f"{peer} is let in, which nobody has decided: {found.text}")

        targets.resync, verdict.clear, source.on_message = noted_resync, noted_clear, noted_message

    def resync_promised(self, machine: Machine) -> None:
        """The administrator was told that what he asked for will be copied."""
        machine.known.full |= machine.known.full_asked

    def source_round(self, process: Process) -> None:
        """R15: nothing is copied from a store that failed a flush, and all of it where that was asked for."""
        source, known = process.runtime.source, process.machine.known
        members = source.stream.members
        if source.metadata.store_failed and not known.store_failed and not source.store_verdict.pending:
            # Its record may have failed as well; then the next one that succeeds has it.
            known.store_failed = bool(process.machine.disk.durable_metadata().store_failed)
        if known.store_failed and members:
            names = ", ".join(member.name for member in members)
            raise RuleBroken("R15", f"{process.name} copies to {names}, and a flush of its store has failed")
        for member in members:
            name = member.name
            known.knowing.add(name)
            if name in known.full and (member.resync is None or member.resync.total < member.bitmap.blocks):
                raise RuleBroken("R15", f"{name} joins {process.name}, and not all is copied, as was asked for")
            known.full.discard(name)
            known.full_asked.discard(name)
            known.full_begun.discard(name)
        self._note_knowing(process)
        # Also while nothing is answered: the source has put on record that enough know, and may be killed next.
        self._drop_known(known, process.name)

    def _note_knowing(self, process: Process) -> None:
        """Note who has the present terms on record with its epoch; it may have left the stream in the same round."""
        source, known = process.runtime.source, process.machine.known
        for name, view in source.views.items() if known.former else ():
            record = self._cluster.machines[name].disk.durable_metadata()
            here = (record.follows, record.epoch) == (process.name, view.epoch)
            if here and record.agreed == required(process.description):
                known.knowing.add(name)

    def _drop_known(self, known: Known, source: str) -> None:
        known.former = [
            terms for terms in known.former if len(known.knowing & (sync_nodes(terms) | {source})) < min_copies(terms)
        ]

    def answered(self, process: Process, having: Collection[str]) -> None:
        """R14: what is answered is on enough copies by the former terms too, until enough nodes know the new ones."""
        known = process.machine.known
        if not known.former:
            return
        known.knowing.update(view.name for view in process.runtime.source.stream.members)
        self._note_knowing(process)
        self._drop_known(known, process.name)
        for terms in known.former:
            found = sync_nodes(terms).intersection(having)
            if 1 + len(found) < min_copies(terms):
                what = f"of {min_copies(terms)} copies only {sorted(found)} have it too"
                raise RuleBroken("R14", f"{process.name} answers by terms that its peers may not know: {what}")

    # --- a target ------------------------------------------------------------------------------------

    def joined(self, process: Process, session: int) -> None:
        """R14: it goes by the same terms as its source; R15: it does not call a copy sound whose store failed."""
        machine = process.machine
        for source in self._cluster.sources:
            if source.runtime.session == session and required(source.description) != required(process.description):
                raise RuleBroken("R14", f"{process.name} follows {source.name}, and goes by another description")
        if machine.known.copy_failed and machine.disk.durable_metadata().store_state == "Consistent":
            raise RuleBroken("R15", f"{process.name} calls its copy consistent, and a flush of its store has failed")
        machine.known.former = []

    def in_sync(self, machine: Machine) -> None:
        """What its source has, it has as well."""
        machine.known.store_failed = machine.known.copy_failed = False

    # --- what ends a run -----------------------------------------------------------------------------

    def ended(self, machine: Machine) -> None:
        """Its daemon is gone: what it had not recorded, nobody was told."""
        machine.known.full_asked.clear()
        machine.known.copy_failed = False

    def role_taken(self, machine: Machine, role: str, store_failed: str) -> None:
        """It is source or target now, as its record says."""
        known = machine.known
        known.full.clear()
        known.full_asked.clear()
        known.full_begun.clear()
        known.copy_failed = False
        if role == "source":
            known.former = []
            known.store_failed = bool(store_failed)


def _electorate(terms: Terms) -> tuple[frozenset[str], int]:
    return sync_nodes(terms), min_copies(terms)
