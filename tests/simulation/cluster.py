"""A mirror: machines, the network between them, the application, and the checks that watch them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec

from dkrepl.core.election.arbitration import Arbitration
from dkrepl.core.lineage import metadata
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol.frames import _RECORD, RECORD_BYTES
from tests.simulation.answered import Answered, garbage
from tests.simulation.checks import Checks
from tests.simulation.counting import served_alone
from tests.simulation.device import Application
from tests.simulation.disk import Disk
from tests.simulation.machine import Machine
from tests.simulation.network import Switch
from tests.simulation.operator import Command
from tests.simulation.process import Process
from tests.simulation.settings import Settings, draw
from tests.simulation.truth import GARBAGE, Session
from tests.simulation.world import World

assert _RECORD.size == RECORD_BYTES
INSISTED = "promoted by the administrator"  # the reason that an arbitration gives


class Cluster:
    """Made from a seed, with every store empty or, at the source, holding data."""

    def __init__(self, seed: int, vary: int = 0, settings: Callable[[random.Random], Settings] | None = None) -> None:
        self.world = World(seed, vary)
        self.settings: Settings = (settings or draw)(self.world.random("settings"))
        self.description = self.settings.description
        self.hwm = self.settings.hwm
        self.switch = Switch(self.world)
        self.checks = Checks(self)
        self.sessions: dict[int, Session] = {}
        self.answers = Answered()
        self.application = Application(self)
        self.official = self.description.source
        self.roles_changed = False
        self.machines = {node.name: Machine(self, node.name, self._disk(node.name)) for node in self.description.nodes}

    @property
    def source(self) -> Process | None:
        """The process that serves the device; the one on ``official``, should there be two."""
        found = self.sources
        return next((process for process in found if process.name == self.official), found[0] if found else None)

    @property
    def sources(self) -> list[Process]:
        """Every process that runs as source."""
        running = [machine.process for machine in self.machines.values() if machine.process is not None]
        return [process for process in running if process.alive and process.runtime is not None and process.is_source]

    def start(self) -> None:
        """Start every daemon and the application."""
        for machine in self.machines.values():
            self.world.after(self.world.rng.random() * 0.5, machine.start)
        self.application.start()

    def _disk(self, name: str) -> Disk:
        rng, description = self.world.random(f"store of {name}"), self.description
        role = "source" if name == description.source else "target"
        full = rng.random() < 0.4
        state = "Empty" if not full else "Consistent" if role == "source" else "Inconsistent"
        record = NodeMetadata(
            format=3,
            mirror=description.name,
            mirror_id="m1" if role == "source" else "",
            node=name,
            role=role,  # type: ignore[arg-type]
            size=description.size,
            block=description.block,
            extent=description.extent,
            store_state=state,  # type: ignore[arg-type]
        )
        disk = Disk(description.size, record)
        if full:
            disk.store.write(0, rng.randbytes(description.size))
            for unit in disk.store.unsynced():
                disk.store.clean(unit)
        return disk

    # --- what processes tell -------------------------------------------------------------------------

    def started(self, process: Process) -> None:
        """A runtime has been made; its session begins."""
        process.machine.disk.spoiled = False  # its intent log has been opened
        if not process.is_source:
            return
        runtime, machine = process.runtime, process.machine
        self.roles_changed = self.roles_changed or process.name != self.description.source
        content = machine.disk.store.cache
        session = Session(runtime.session, process.name, bytes(content), machine.holds())
        session.live = bytearray(content)
        before = self.sessions.get(session.parent[0]) if session.parent else None
        goes_on = before is not None and before.node == process.name and before.unelected  # it was only restarted
        session.forced, machine.forced = machine.forced, False
        session.unelected = session.forced or machine.alone or goes_on
        session.began = self.world.now
        self.sessions[session.number] = session
        self.answers.began(session, self.past(session), machine.power_lost)
        machine.point, machine.synced_at, machine.power_lost = (session.number, 0), None, False
        self._watch(process, session)
        self.checks.source_started(process)

    def past(self, session: Session) -> set[int]:
        """Return the numbers of the sessions from which the content of ``session`` comes, and its own."""
        found: set[int] = set()
        step: Session | None = session
        while step is not None and step.number not in found:
            found.add(step.number)
            step = self.sessions.get(step.parent[0]) if step.parent else None
        return found

    def role_taken(self, process: Process, runtime: Any, record: NodeMetadata) -> None:
        """A daemon goes on in another role, or again in this, as its record says durably."""
        machine = process.machine
        self.roles_changed = True
        self.checks.forget_bitmaps(machine)
        self.checks.verdicts.role_taken(machine, record.role, record.store_failed)
        machine.alone = False
        if record.role == "target" or runtime.role == "source":
            self._died_in(process)
            self.application.source_is_no_more(process.name)
        if runtime.role == "target" and record.role == "source":
            self.checks.promoted(machine)
            if runtime.target.voter.inherits:
                self.checks.handed_over(self.machines[runtime.target.voter.inherits], machine)
            else:
                self.promoted(machine)

    def promoted(self, machine: Machine) -> None:
        """An administrator has made a node source: what it lacks is given up, if that was by force."""
        if machine.forced:
            self.answers.give_up(self.answers.missing(machine.disk.store.cache))
        else:
            self.checks.has_every_answer(machine, "is promoted without force")

    def serves_again(self, process: Process, arbitration: Arbitration) -> None:
        """A former source has asked its peers, and will serve."""
        process.machine.alone = served_alone(process.description, arbitration)
        if arbitration.reason == INSISTED:
            self.promoted(process.machine)
        else:
            self.checks.serves_again(process, arbitration)

    @property
    def commands(self) -> list[Command]:
        """The administrator's commands that have no outcome yet."""
        return [
            command for machine in self.machines.values() for process in machine.lives for command in process.commands
        ]

    def ended(self, process: Process, quietly: bool) -> None:
        """A process is gone."""
        machine = process.machine
        machine.process = None
        machine.ended_at = self.world.now
        self._died_in(process)
        self.checks.verdicts.ended(machine)
        for command in list(process.commands):
            command.abandon()
        self.switch.process_ended(process, quietly)
        kept = not quietly and self.settings.kept and machine.disk.metadata().role == "source"
        self.application.source_ended(process, kept)

    def _died_in(self, process: Process) -> None:
        self.answers.died_in(asked for asked in self.application.asked.values() if asked.process is process)

    def store_went_back(self, process: Process) -> None:
        """A flush of a store has failed."""
        machine = process.machine
        machine.store_failed = True
        if process.is_source and process.runtime.session in self.sessions:
            session = self.sessions[process.runtime.session]
            session.went_back(machine.disk.store.cache)
            self.answers.store_lost(session)
            machine.went_back = machine.excused = True  # until it knows; two failures may cost a full resync
            for other in self.machines.values():
                other.tainted = other.joined
        else:
            machine.tainted = machine.joined
            machine.known.copy_failed = process.is_target

    def after_round(self, process: Process) -> None:
        """A round of a process's loop is over: its state must keep every rule."""
        self.checks.after_round(process)

    def _watch(self, process: Process, session: Session) -> None:
        """Note every record of the stream, and which request it belongs to."""
        runtime = process.runtime
        publisher, stream, application = runtime.publisher, runtime.source.stream, self.application
        begin_slow = stream.begin_slow

        def noted_begin(offset: int, length: int) -> None:
            begin_slow(offset, length)
            session.under_way = stream.under_way

        stream.begin_slow = noted_begin
        add, park, park_flush = publisher.add, stream.park, stream.park_flush
        content = process.machine.disk.store.cache

        def noted_add(seq: int, record: bytes, data: Any) -> None:
            op, length, offset = _RECORD.unpack(record)
            session.under_way = stream.under_way
            session.add(seq, op, length, offset, b"" if data is None else bytes(data), content)
            process.machine.point = (session.number, seq)
            self.answers.wrote(session, seq)
            if session.ops[-1][0] == GARBAGE:
                garbage(session)
                for machine in self.machines.values():
                    machine.tainted = machine.joined
            add(seq, record, data)

        def noted_park(seq: int, token: tuple[int, int]) -> None:
            application.asked[token[0]].seq = seq
            park(seq, token)

        def noted_park_flush(seq: int, token: tuple[int, int]) -> None:
            application.asked[token[0]].seq = seq
            park_flush(seq, token)

        flush_failed = runtime.source.store_verdict.flush_failed

        def noted_flush_failed(why: str, now: float) -> None:
            process.machine.went_back = False
            flush_failed(why, now)

        publisher.add, stream.park, stream.park_flush = noted_add, noted_park, noted_park_flush
        runtime.source.store_verdict.flush_failed = noted_flush_failed

    def edit(self, name: str, **changes: Any) -> None:
        """Change the record of a machine whose daemon does not run, durably."""
        disk = self.machines[name].disk
        disk.record = disk.record_durable = metadata.pack(msgspec.structs.replace(disk.metadata(), **changes))
