"""The rules, looked at after every step of every node; R14 and R15 are in verdicts.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dkrepl.core.lineage.peer_records import record_of
from dkrepl.core.protocol import frames
from dkrepl.io.fuse import READ, SYNC, WRITE
from tests.simulation.ancestry import lost
from tests.simulation.copies import named_active, unnamed
from tests.simulation.counting import counts, served_alone
from tests.simulation.probe import what_if_power_were_lost
from tests.simulation.settings import BLOCK, EXTENT_BLOCKS, PEER_TIMEOUT
from tests.simulation.truth import GARBAGE, Point, Session, block_of
from tests.simulation.verdicts import Verdicts
from tests.simulation.world import RuleBroken

if TYPE_CHECKING:
    from dkrepl.core.election.arbitration import Arbitration
    from dkrepl.core.target.target import Target
    from tests.simulation.answered import Promise
    from tests.simulation.cluster import Cluster
    from tests.simulation.device import Asked
    from tests.simulation.machine import Machine
    from tests.simulation.process import Process

UNDELAYED = 2.0  # seconds: commits, and the patience with a target that keeps the intent log full
_BARRIERS = (frames.FLUSH, frames.GENERATION, GARBAGE)


class Checks:
    """Raises ``RuleBroken``; changes nothing."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self.verdicts = Verdicts(cluster)
        self._probed = 0
        self._bits_before: dict[str, tuple[str, dict[str, bytes], frozenset[int]]] = {}

    # --- after each round ----------------------------------------------------------------------------

    def after_round(self, process: Process) -> None:
        if process.is_source:
            self._source(process)
        elif process.is_target:
            self._target(process)

    def _source(self, process: Process) -> None:
        source = process.runtime.source
        stream, log = source.stream, source.stream.log
        self.verdicts.source_round(process)
        now = process.machine.monotonic()
        slack = 6 * self._cluster.settings.depth + 12
        for member in stream.members:
            view = source.views[member.name]
            outstanding = log.seq - member.applied
            if outstanding > member.limit + slack:
                raise RuleBroken("R5", f"{outstanding} writes are on the way to {view.name}, {member.limit} may be")
            waiting = log.bytes_between(member.applied, log.seq)
            if waiting > member.window + 160 * (self._cluster.settings.depth + 1):
                raise RuleBroken("R5", f"{waiting} bytes are on the way to {view.name}, {member.window} may be")
            resync = view.resync
            if resync is not None and (resync.bytes_on_way > 600 or len(resync.on_way) > 5):
                raise RuleBroken("R5", f"{resync.bytes_on_way} bytes of resync are on the way to {view.name}")
            silent = now - view.heard
            if silent > PEER_TIMEOUT + 0.6 * process.machine.slow and not process.machine.late:
                raise RuleBroken("R10", f"{view.name} is {view.state} but was not heard for {silent:.2f} s")
            if view.state == "InSync" and self._world.chance(0.2):
                self._in_sync(view, stream, self._cluster.sessions[source.session])
        if self._world.chance(0.1):
            self.copies(process, "R2")
        if stream.log.seq != self._probed and self._world.chance(0.1):
            self._probed = stream.log.seq
            what_if_power_were_lost(self._cluster, process)

    def _in_sync(self, view: Any, stream: Any, session: Session) -> None:
        """R10: no dirty block but those in the window."""
        window: set[int] = set()
        for _, length, offset, _ in session.ops[view.durable :]:
            if length:
                window.update(range(offset // BLOCK, (offset + length - 1) // BLOCK + 1))
        if stream.under_way is not None:
            first, end = stream.under_way
            window.update(range(first // BLOCK, (end - 1) // BLOCK + 1))
        for first, end in view.bitmap.runs():
            outside = set(range(first, end)) - window
            if outside:
                raise RuleBroken("R10", f"{view.name} is InSync but its blocks {sorted(outside)} are dirty")

    def copies(self, process: Process, rule: str) -> None:
        """R1 and R2: where a copy differs, or would after a power loss of the target, the bitmap says so."""
        source, machine = process.runtime.source, process.machine
        for name, view in () if machine.went_back else source.views.items():
            found = unnamed(machine.disk.store.cache, view.bitmap, source.metadata, self._cluster.machines[name].disk)
            if found:
                raise RuleBroken(rule, f"{name}'s bitmap does not name {found}, at {process.name}")

    def _target(self, process: Process) -> None:
        target, machine = process.runtime.target, process.machine
        following = target.following
        if not following.in_stream:
            if self._was_in(target, machine.joined):  # it applied some and left in one round
                reached = machine.reached.get(machine.joined[0], 0)
                machine.reached[machine.joined[0]] = max(reached, following.applied)
            if machine.becoming is not None and machine.becoming[0] == machine.joined[0]:
                number, reached = machine.becoming
                machine.becoming = (number, max(reached, following.applied))  # 0 in a new process
            return
        session = self._cluster.sessions[following.session]
        joined = (following.session, following.epoch)
        if machine.joined != joined:
            self.verdicts.joined(process, session.number)
            self._descends(machine, session)
            machine.power_lost = False
            machine.joined = joined
            machine.synced_at = machine.fell = None
        applied = machine.reached[session.number] = following.applied
        waits = target.stream.blocked and not target.stream.applying
        if target.state == "Resyncing" and (following.resync_applied or not waits):
            machine.point, machine.becoming = None, (session.number, applied)  # a mixture, of which somebody has all
        copying = following.resync_applied and target.state == "Resyncing" and not waits
        if copying and machine.disk.durable_metadata().store_state != "Inconsistent":
            raise RuleBroken("R6", f"{process.name} applies resync blocks, and its record does not say so")
        if target.state == "InSync" and machine.tainted != joined:
            if machine.synced_at is None:
                machine.synced_at = target.progress.durable_seq
            if not target.stream.applying:
                self._prefix(machine, session, applied)
            if self._world.chance(0.1):
                self.barriers(machine)
        if target.state == "InSync":
            self.verdicts.in_sync(machine)
            machine.point = (session.number, applied)

    def _was_in(self, target: Target, joined: tuple[int, int]) -> bool:
        """Whether the stream that ``target`` was in last is the one of ``joined`` (session, epoch)."""
        number, epoch = joined
        if not epoch or target.following.gave_up == epoch:
            return bool(epoch)
        metadata = target.metadata
        return metadata.epoch == epoch and metadata.follows == self._cluster.sessions[number].node

    def _prefix(self, machine: Machine, session: Session, applied: int) -> None:
        expected, content = machine.follower.image(session, applied), machine.disk.store.cache
        if expected == content:
            return
        blocks = [
            at // BLOCK for at in range(0, len(content), BLOCK) if expected[at : at + BLOCK] != content[at : at + BLOCK]
        ]
        raise RuleBroken(
            "R3", f"{machine.name} applied {applied} of {session.node}'s stream; blocks {blocks} are not of then"
        )

    # --- answers -------------------------------------------------------------------------------------

    def answered(self, asked: Asked) -> None:
        """R4: what was answered is where it must be."""
        cluster, source = self._cluster, asked.process.runtime.source
        session = cluster.sessions[source.session]
        self._on_enough_copies(asked, session)
        if not asked.seq:
            return
        if session.ops[asked.seq - 1][0] not in _BARRIERS:
            self._answers_alone(asked, session)
        flush = session.ops[asked.seq - 1][0] == frames.FLUSH
        if flush and (lacks := session.covers(asked.seq, asked.process.machine.disk.store.durable)):
            raise RuleBroken("R4", f"flush {asked.seq} is answered, and here {lacks}")
        members = {view.name: view for view in source.stream.members}
        for name, view in source.views.items():
            if name not in members:
                if session.ops[asked.seq - 1][0] not in _BARRIERS:
                    session.unseen[name] = asked.seq
                    for other in (member for member in members.values() if member.mode == "sync"):
                        session.relied[name, other.name] = asked.seq
                continue
            machine = cluster.machines[name]
            if view.mode != "sync" or view.state != "InSync" or machine.tainted == machine.joined:
                continue
            if machine.reached.get(session.number, -1) < asked.seq:
                raise RuleBroken("R4", f"write {asked.seq} is answered, and {name} has not applied it")
            if flush and (lacks := session.covers(asked.seq, machine.disk.store.durable)):
                raise RuleBroken("R4", f"flush {asked.seq} is answered, and on {name} {lacks}")

    def _answers_alone(self, asked: Asked, session: Session) -> None:
        """R11: of two sources of which none was promoted by force only one answers."""
        session.answered = max(session.answered, asked.at)
        for other in self._cluster.sources:
            rival = self._cluster.sessions[other.runtime.source.session]
            both = min(session.answered, rival.answered) >= max(session.began, rival.began)
            if rival is not session and both and not (session.unelected or rival.unelected):
                raise RuleBroken("R11", f"{session.node} and {rival.node} are both source, and both answer writes")

    def _on_enough_copies(self, asked: Asked, session: Session) -> None:
        """R4: an answered write is on ``min_copies`` copies; a flushed one durably so."""
        answers, process = self._cluster.answers, asked.process
        least = process.description.min_copies
        sync = [self._cluster.machines[n.name] for n in process.description.peers(process.name) if n.mode == "sync"]
        sound = [machine for machine in sync if counts(machine, asked, session)]
        if asked.op == SYNC:
            made = answers.flush(session, asked.after)
            if not made:
                return
            having = [m.name for m in sound if all(p.kept_in(m.disk.store.durable) for p in made)]
        elif asked.op == READ or not asked.seq:
            return
        else:
            answers.write(session, asked.seq, asked.sectors, self._world.now)
            having = [m.name for m in sound if m.reached.get(session.number, -1) >= asked.seq]
        # R11: the copy of an asynchronous source counts only where one is enough.
        own = 1 if least == 1 or process.description.node(process.name).mode == "sync" else 0
        if own + len(having) < least:
            what = f"{'flush' if asked.op == SYNC else 'write'} {asked.seq} of {process.name}"
            raise RuleBroken("R4", f"{what} is answered, and of {least} copies (min_copies) only {having} have it too")
        self.verdicts.answered(process, having)

    def in_time(self, asked: Asked) -> None:
        """R5: a write to targets that may not delay it is delayed by none, whatever they and the network do."""
        took = self._world.now - asked.at
        if self._cluster.settings.never_waits and asked.request.op == WRITE and took > UNDELAYED:
            raise RuleBroken("R5", f"write {asked.seq} took {took:.2f} s, and no target may delay it")

    # --- crashes -------------------------------------------------------------------------------------

    def before_crash(self, machine: Machine, kind: str) -> None:
        """Note what the bitmaps say; and R3: what a flush in the stream separates, a power loss must not mix."""
        disk, lost = machine.disk, kind == "power"
        found = {name: disk.bits(name) for name in disk.bitmaps}
        bits = {name: content for name, (content, _) in found.items()}
        active = named_active(disk.active.cache if disk.active else None)
        active |= named_active(disk.active.durable if disk.active else None)
        # It was booted, or its memory was lost, and its intent log has not been opened since.
        if disk.metadata().boot != disk.boot or not all(exact for _, exact in found.values()):
            kind = "power"
        if machine.name in self._bits_before:  # it died again before it had started
            earlier, bits, before = self._bits_before[machine.name]
            active |= before
            kind = "power" if earlier == "power" else kind
        self._bits_before[machine.name] = (kind, bits, active)
        if lost:
            machine.power_lost = True
            self.barriers(machine)

    def barriers(self, machine: Machine) -> None:
        """R3: everything before the newest flush after which something was applied is durable."""
        if machine.synced_at is None or machine.tainted == machine.joined:
            return
        session = self._cluster.sessions[machine.joined[0]]
        applied = machine.reached[session.number]
        before = machine.synced_at
        for seq in range(applied - 1, before, -1):
            if session.ops[seq - 1][0] in _BARRIERS:
                before = seq
                break
        lacks = session.covers(before, machine.disk.store.durable)
        if lacks:
            raise RuleBroken("R3", f"{machine.name} applied {applied}, past the flush {before}, and durably {lacks}")

    def forget_bitmaps(self, machine: Machine) -> None:
        """The bitmaps that it has from an earlier time as source are of no meaning any more."""
        self._bits_before.pop(machine.name, None)

    def source_started(self, process: Process) -> None:
        """After a restart: R1 (power lost) or R2, and R8: no more bits than the crash can explain."""
        name, source = process.name, process.runtime.source
        self.verdicts.source_started(process)
        kind, before, active = self._bits_before.pop(name, ("", {}, frozenset()))
        self.copies(process, "R1" if kind == "power" else "R2")
        for target, bits in before.items():
            if target not in source.views or process.machine.excused:
                continue
            if not record_of(source.metadata, target).tracked:
                continue  # it lost its power as a target; the other is copied as a whole
            if record_of(source.metadata, target).full and target in process.machine.known.full_begun:
                continue  # an administrator wants all of it copied, and the record says so, whatever the bits do
            if kind == "power" and not record_of(source.metadata, target).merged:
                continue  # bits and seals that its own bitmap added were being written, where no extent is active
            for first, end in source.views[target].bitmap.runs():
                for block in range(first, end):
                    known = bits[block // 8] >> block % 8 & 1
                    if not known and (kind != "power" or block // EXTENT_BLOCKS not in active):
                        raise RuleBroken("R8", f"{target}'s block {block} became dirty by a restart ({kind})")

    # --- entering -------------------------------------------------------------------------------------

    def _descends(self, machine: Machine, session: Session) -> None:
        """R7: what the target holds is part of the source's past."""
        point, machine.discards, discards = machine.holds(), False, machine.discards
        record = machine.disk.durable_metadata()  # if it dies in the resync, it gives way again
        discards |= (record.yields, record.yields_to) == ("discard", session.node)
        self._gives_way(machine, session, point, discards)
        if point is None or discards:
            return
        missing = lost(self._cluster.sessions, machine.name, point, session)
        if missing is None:
            return
        held = machine.held(point)
        new = self._cluster.machines[session.node].disk.store.cache
        kept = machine.kept.get(session.node, {})
        alone = missing.session.blocks(missing.first, missing.last)
        gone = [
            block
            for block in sorted(alone)
            if (old := block_of(held, block)) != block_of(new, block) and kept.get(block) != old
        ]
        if gone:
            raise RuleBroken(
                "R7", f"{machine.name} follows {session.node}, which lacks {missing}; blocks {gone} are not saved aside"
            )

    def _gives_way(self, machine: Machine, session: Session, point: Point | None, discards: bool) -> None:
        """What a node had and its source lacks is given up, if an administrator said so, or saved aside."""
        answers = self._cluster.answers
        held = machine.held(point) if point is not None else bytes(machine.disk.store.cache)
        if machine.power_lost:
            held = machine.left
        new = self._cluster.machines[session.node].disk.store.cache
        if discards:
            answers.give_up(promise for promise in answers.missing(new) if promise.kept_in(held))
        else:
            answers.replaced(held, new, machine.kept.get(session.node, {}), BLOCK)

    def promoted(self, machine: Machine) -> None:
        """R6: a copy that its record calls consistent is the source's of some moment."""
        point = machine.holds()
        if point is None or machine.forced or machine.power_lost or machine.tainted == machine.joined:
            return
        session = self._cluster.sessions[point[0]]
        lacks = session.covers(point[1], machine.disk.store.cache) if session.node != machine.name else ""
        if lacks:
            raise RuleBroken("R6", f"{machine.name} calls its copy of {session.node} consistent: {lacks}")

    def has_every_answer(self, machine: Machine, what: str, before: float | None = None) -> None:
        """R11: nothing that any source has answered is missing from a copy that is said to be safe."""
        missing = self._cluster.answers.missing(machine.disk.store.cache, before)
        if machine.disk.metadata().role == "source":
            missing = self._of_others(machine, missing)
        if missing:
            shown = "; ".join(str(promise) for promise in missing[:3])
            raise RuleBroken("R11", f"{machine.name} {what}, and lacks {len(missing)} answered sectors: {shown}")

    def _of_others(self, machine: Machine, missing: list[Promise]) -> list[Promise]:
        """Return those that a former source was not there for, and that nobody gives up in favour of it.

        What it has answered is there, or is overwritten by a write that its daemon died in.
        """
        cluster, point = self._cluster, machine.holds()
        past = cluster.past(cluster.sessions[point[0]]) if point else set()
        gives_way = {
            name for name, other in cluster.machines.items() if other.disk.metadata().yields_to == machine.name
        }
        return [p for p in missing if p.session.number not in past and p.session.node not in gives_way]

    def serves_again(self, process: Process, arbitration: Arbitration) -> None:
        """R11: a former source that serves again, and was not told to do so alone, has what was answered elsewhere."""
        machine, cluster = process.machine, self._cluster
        taken_over = cluster.settings.kept and self._world.now - machine.ended_at <= PEER_TIMEOUT
        if taken_over or served_alone(process.description, arbitration):
            return
        elsewhere = self._of_others(machine, cluster.answers.missing(machine.disk.store.cache))
        if arbitration.missing:  # of a peer that was promoted by force meanwhile, and is silent, nothing need be known
            elsewhere = [promise for promise in elsewhere if not promise.session.unelected]
        if elsewhere:
            why = f"{arbitration.reason}; it lacks {len(elsewhere)} answered sectors: {elsewhere[0]}"
            raise RuleBroken("R11", f"{machine.name} serves again: {why}")

    def handed_over(self, former: Machine, next_source: Machine) -> None:
        """R7: a switchover loses nothing."""
        sound = not (
            former.store_failed
            or next_source.store_failed
            or former.went_back
            or next_source.tainted == next_source.joined
        )
        if (
            sound
            and former.disk.metadata().next_source == next_source.name
            and former.disk.store.cache != next_source.disk.store.cache
        ):
            raise RuleBroken("R7", f"{next_source.name} is source after {former.name}, and has not all of its data")

    def event(self, process: Process, name: str, fields: Mapping[str, Any]) -> None:
        """R8: nothing is copied as a whole without a cause."""
        cluster, machine = self._cluster, process.machine
        if name == "store_failed" and process.is_target and machine.synced_at is not None:
            machine.fell = (machine.joined[0], process.runtime.target.following.applied)
        if cluster.roles_changed or "frames repeated" in self._world.counters:
            # A new source knows of no epoch; a repeated Hello or confirmation costs more copying.
            return
        if name == "bitmap_damaged" and not process.machine.excused:
            _, before, _ = self._bits_before.get(process.name, ("", {}, frozenset()))
            bits = int.from_bytes(before.get(fields["target"], b""), "little")
            if bits.bit_count() == cluster.description.blocks:
                return  # all of it was to be copied anyway
            raise RuleBroken("R8", f"{process.name} believes the bitmap of {fields['target']} damaged")
        if name == "target_trouble" and fields["code"] == "BadAck":
            raise RuleBroken("R8", f"{fields['target']} is thrown out for a confirmation that was true")
        if name == "target_joins" and fields["decision"] == "Full" and fields["code"] != "NewTarget":
            machine = cluster.machines[fields["target"]]
            if not machine.excused and not process.machine.excused:
                raise RuleBroken("R8", f"{machine.name} is copied as a whole: {fields['code']}, {fields['reason']}")
