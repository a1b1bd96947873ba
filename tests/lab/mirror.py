"""A mirror of three nodes, alpha, beta and gamma, on which a story is told; alpha is source at first."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from dkrepl.api.requests import Promote, Request
from dkrepl.api.status import LastResync, SourceStatus, SplitBrain, Status, TargetAtSource
from dkrepl.errors import DaemonNotRunning, Refused
from tests.lab.node import Node
from tests.lab.status import follows, in_sync, misses_source, partial_resync, serves, settled, source_status, target_of
from tests.lab.waiting import LONG, Clock, Seen, wait_for
from tests.lab.workload import Area, Load, Writes


@dataclass(frozen=True)
class Wanted:
    """What a story needs of its mirror."""

    gamma: Literal["sync", "async"] = "sync"
    min_copies: int = 1
    resync_seconds: float = 0.0  # that a copy of the whole device takes, at least; 0 is as fast as it can be


class Lab(Protocol):
    """Makes mirrors."""

    def mirror(self, wanted: Wanted) -> AbstractContextManager[Mirror]:
        """Return a mirror that is in sync, and is taken away at the end."""
        ...


class Mirror(ABC):
    """``size`` of the device, ``block`` and ``extent`` are in bytes; ``pause`` between two looks is in seconds."""

    nodes: Mapping[str, Node]
    size: int
    block: int
    extent: int
    clock: Clock
    pause: float
    patience: float = LONG  # seconds for each wait

    @property
    def alpha(self) -> Node:
        return self.nodes["alpha"]

    @property
    def beta(self) -> Node:
        return self.nodes["beta"]

    @property
    def gamma(self) -> Node:
        return self.nodes["gamma"]

    # --- what each backend does in its way -----------------------------------------------------------

    @abstractmethod
    def cut(self, node: Node, *others: Node) -> None:
        """From now on nothing passes between ``node`` and these nodes."""

    @abstractmethod
    def heal(self) -> None:
        """Let everything pass again."""

    @abstractmethod
    def load(self, node: Node, area: Area, seed: int) -> Load:
        """Return an application that writes within ``area`` of the device of ``node``."""

    @abstractmethod
    def fill(self, node: Node, area: Area) -> Writes:
        """Write all of an area of the device of ``node``, and flush it."""

    # --- what applications do ------------------------------------------------------------------------

    def area(self, number: int, parts: int = 4) -> Area:
        """Return one of the equal parts of the device."""
        length = self.size // self.block // parts * self.block
        return Area(number * length, length)

    @contextmanager
    def writing(self, node: Node, area: Area, seed: int = 1) -> Iterator[Load]:
        """An application writes; its first writes are answered, and it is stopped at the end."""
        load = self.load(node, area, seed)
        try:
            load.wait_for_more(30)
            yield load
        finally:
            load.stop()

    # --- what administrators do ----------------------------------------------------------------------

    def take_over(self, node: Node, fenced: tuple[str, ...] = ()) -> None:
        """Promote a node without force, as soon as that is allowed, and see it serve.

        ``fenced``: nodes that are said to be off.
        """

        def refused() -> str:
            try:
                node.ask(Promote(fenced=fenced))
            except (Refused, DaemonNotRunning) as refusal:
                return str(refusal)
            return ""

        self._until(refused, lambda refusal: not refusal, f"{node.name} is promoted without force")
        self.wait_serving(node)

    def take_over_by_force(self, node: Node) -> None:
        """Promote a node with the token of a dry run, whatever is lost, and see it serve."""
        self._until(lambda: force(node.ask), bool, f"{node.name} is promoted by force")
        self.wait_serving(node)

    # --- what becomes of it --------------------------------------------------------------------------

    def wait(self, node: Node, what: str, wanted: Callable[[Status], object]) -> Status:
        """Wait until a node answers, and its status is as ``wanted``; return that."""
        status = self._until(node.status, lambda found: found is not None and wanted(found), f"{node.name}: {what}")
        assert status is not None
        return status

    def wait_serving(self, node: Node) -> SourceStatus:
        """Wait until a node is source, and serves its device."""
        return source_status(self.wait(node, "it serves the device as source", serves))

    def wait_missing_source(self, *nodes: Node) -> None:
        """Wait until these nodes hear no source."""
        for node in nodes:
            self.wait(node, "it misses its source", misses_source)

    def wait_following(self, node: Node, source: Node) -> None:
        """Wait until a node is a target in sync with ``source``."""
        self.wait(node, f"it follows {source.name}", lambda status: follows(status, source.name))

    def wait_state(self, node: Node, state: str) -> None:
        """Wait until a node shows itself in a state."""
        self.wait(node, f"it is {state}", lambda status: status.state == state)

    def wait_split_brain(self, node: Node) -> SplitBrain:
        """Wait until a node reports a split-brain; it is source, and serves on. Return what it shows of it."""

        def look(status: Status) -> bool:
            return isinstance(status, SourceStatus) and status.split_brain is not None

        status = source_status(self.wait(node, "it reports the split-brain", look))
        assert status.state == "Serving", f"{node.name} is {status.state}"
        assert status.split_brain is not None
        return status.split_brain

    def wait_in_sync(self, source: Node, *targets: Node) -> None:
        """Wait until a source has these targets, or all, in sync."""
        names = [target.name for target in targets]
        self.wait(source, f"{names or 'all'} in sync", lambda status: in_sync(status, *names))

    def wait_target(
        self, source: Node, target: Node, what: str, wanted: Callable[[TargetAtSource], object]
    ) -> TargetAtSource:
        """Wait until what a source shows of a target is as ``wanted``; return that."""

        def look(status: Status) -> bool:
            return isinstance(status, SourceStatus) and bool(wanted(target_of(status, target.name)))

        return target_of(source_status(self.wait(source, f"{target.name} {what}", look)), target.name)

    def wait_gone(self, source: Node, target: Node) -> TargetAtSource:
        """Wait until a source does without a target."""
        gone = ("Disconnected", "Connecting", "Behind")
        return self.wait_target(source, target, "is gone", lambda seen: seen.state in gone)

    def seen(self, source: Node, target: Node) -> TargetAtSource:
        """Return what a source shows of a target now."""
        return target_of(source_status(source.status()), target.name)

    def partial_resync(self, source: Node, target: Node) -> LastResync:
        """Return the last resync of a target, which must have been partial: the intent log spared the rest."""
        return partial_resync(self.seen(source, target))

    def wait_quiet(self, source: Node) -> None:
        """Wait until all targets are in sync, nothing is on its way, and every node knows that."""
        self.wait(source, "nothing is on its way", settled)

    def assert_equal_copies(self, source: Node) -> None:
        """Wait until nothing is on its way; then all copies are equal."""
        self.wait_quiet(source)
        hashes = {node.name: node.digest() for node in self.nodes.values()}
        assert len(set(hashes.values())) == 1, f"the copies differ: {hashes}"

    def _until(self, look: Callable[[], Seen], wanted: Callable[[Seen], object], what: str) -> Seen:
        return wait_for(look, wanted, what, self.patience, self.pause, self.clock)


def force(ask: Callable[[Request], Any]) -> bool:
    """Promote a node by force, with the token of a dry run; False if the situation has changed since that."""
    try:
        ask(Promote(force=ask(Promote(dry_run=True))["token"]))
    except Refused as refusal:
        if "has changed since that dry run" not in str(refusal):
            raise
        return False  # a peer has just lost the old source; an administrator looks again
    return True
