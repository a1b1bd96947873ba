"""What a daemon answers to the other commands. ``promote`` with ``dry_run`` answers an ``Assessment`` of the core."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from dkrepl.api.quantities import Bytes

MOST_RANGES = 1000
"""Ranges of dirty blocks that are listed for each target."""


class Range(msgspec.Struct, frozen=True):
    """A piece of the device."""

    offset: Annotated[Bytes, Meta(description="Where it begins.")]
    length: Annotated[Bytes, Meta(description="How long it is.")]


class TargetState(msgspec.Struct, frozen=True):
    """The state that a command leaves a target in."""

    name: Annotated[str, Meta(description="The target.")]
    state: Annotated[str, Meta(description="Its state.")]


class Targets(msgspec.Struct, frozen=True):
    """To ``pause``, ``resume`` and ``resync``."""

    targets: Annotated[list[TargetState], Meta(description="Those that were named, or all.")]


class VerifyProgress(msgspec.Struct, frozen=True):
    """Progress of ``verify``."""

    target: Annotated[str, Meta(description="The target whose copy is being compared.")]
    done_bytes: Annotated[Bytes, Meta(description="Compared so far.")]
    total_bytes: Annotated[Bytes, Meta(description="To be compared in all.")]


class Verified(msgspec.Struct, frozen=True):
    """What the comparison of one target found."""

    name: Annotated[str, Meta(description="The target.")]
    equal: Annotated[bool, Meta(description="Whether its copy equals the source's.")]
    compared_bytes: Annotated[Bytes, Meta(description="How much was compared.")]
    ranges: Annotated[list[Range], Meta(description="Where the copies differ.")]


class Verification(msgspec.Struct, frozen=True):
    """To ``verify``."""

    targets: Annotated[list[Verified], Meta(description="Those that were named, or all.")]


class DirtyBlocks(msgspec.Struct, frozen=True):
    """The blocks that may differ from one target."""

    name: Annotated[str, Meta(description="The target.")]
    block: Annotated[Bytes, Meta(description="The size of a block.")]
    blocks: Annotated[int, Meta(description="Blocks of the mirror.")]
    dirty_blocks: Annotated[int, Meta(description="Blocks that may differ.")]
    dirty_bytes: Annotated[Bytes, Meta(description="The same in bytes.")]
    ranges: Annotated[list[Range], Meta(description=f"Where they are; at most {MOST_RANGES} ranges.")]
    active_extents: Annotated[int, Meta(description="Extents that the activity log marks as being written.")]


class Intent(msgspec.Struct, frozen=True):
    """To ``intent``."""

    targets: Annotated[list[DirtyBlocks], Meta(description="The target that was named, or all.")]


class RoleChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """To ``promote``, ``demote``, ``switchover`` and ``resolve``, before the node has the new role."""

    mirror: Annotated[str, Meta(description="The mirror.")]
    node: Annotated[str, Meta(description="The node that was asked.")]
    role: Annotated[Literal["source", "target"], Meta(description="The role that it is to have.")]
    yields_to: Annotated[str | None, Meta(description="The node that a target gives way to.")] = None


class Reloaded(msgspec.Struct, frozen=True):
    """To ``reload``."""

    mirror: Annotated[str, Meta(description="The mirror.")]
    node: Annotated[str, Meta(description="The node that was asked.")]


class Cleared(msgspec.Struct, frozen=True):
    """To ``clear``."""

    mirror: Annotated[str, Meta(description="The mirror.")]
    node: Annotated[str, Meta(description="The node that was asked.")]
    cleared: Annotated[str, Meta(description="The verdict that was lifted.")]


class Adopted(msgspec.Struct, frozen=True):
    """To ``adopt``."""

    mirror: Annotated[str, Meta(description="The mirror.")]
    node: Annotated[str, Meta(description="The node that was asked.")]
    fenced: Annotated[list[str], Meta(description="The nodes that were declared fenced.")]


class DifferingKey(msgspec.Struct, frozen=True):
    """A key in which two descriptions differ."""

    key: Annotated[str, Meta(description="The key.")]
    here: Annotated[str | None, Meta(description="Its value on the node that was asked; null: it has none.")]
    there: Annotated[str | None, Meta(description="Its value on the other node; null: it has none.")]


class PeerDescription(msgspec.Struct, frozen=True):
    """How the description of one other node differs."""

    node: Annotated[str, Meta(description="The other node.")]
    answered: Annotated[bool, Meta(description="Whether it said what its description is.")]
    required: Annotated[list[DifferingKey], Meta(description="Keys that must be equal.")]
    advisory: Annotated[list[DifferingKey], Meta(description="Keys that usually are equal.")]

    @property
    def same(self) -> bool:
        """Whether it is known not to differ."""
        return self.answered and not self.required and not self.advisory


class Descriptions(msgspec.Struct, frozen=True):
    """To ``descriptions``."""

    mirror: Annotated[str, Meta(description="The mirror.")]
    node: Annotated[str, Meta(description="The node that was asked.")]
    agree: Annotated[bool, Meta(description="Whether all other nodes answered, and none differs.")]
    nodes: Annotated[list[PeerDescription], Meta(description="The other nodes.")]
