"""The requests that a daemon understands: one type for each command, told apart by its key ``command``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from dkrepl.api.quantities import UnixTime
from dkrepl.errors import UsageError

LONGEST = 64 << 10
"""Bytes of a request, with the newline that ends it."""

Targets = Annotated[tuple[str, ...], Meta(description="Names of targets; none: all of them.")]
Fenced = Annotated[
    tuple[str, ...], Meta(description="Nodes that are declared to be off, or cut off from their applications.")
]
Verdict = Literal["store-failed", "forced-promotion"]


class Request(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="command", omit_defaults=True, forbid_unknown_fields=True
):
    """A request; its type says which command.

    What is not asked for is not sent, so an older daemon refuses only those new fields that are used.
    """


class Status(Request, frozen=True, tag="status"):
    """The state of the mirror as this node sees it."""


class Events(Request, frozen=True, tag="events"):
    """The events that the daemon remembers, each as a progress line, oldest first."""

    since: Annotated[UnixTime | None, Meta(description="Only what happened after this time; null: all of them.")] = None
    follow: Annotated[bool, Meta(description="Keep sending new events until the client closes the connection.")] = False


class Pause(Request, frozen=True, tag="pause"):
    """Stop copying to targets; what they miss is marked in their bitmaps."""

    targets: Targets = ()


class Resume(Request, frozen=True, tag="resume"):
    """Copy to paused targets again."""

    targets: Targets = ()


class Resync(Request, frozen=True, tag="resync"):
    """Begin a resync of targets."""

    targets: Targets = ()
    full: Annotated[bool, Meta(description="Mark every block dirty first.")] = False


class Verify(Request, frozen=True, tag="verify"):
    """Compare the copies of targets with the source's, while the device is in use."""

    targets: Targets = ()


class Intent(Request, frozen=True, tag="intent"):
    """Which blocks may differ from a target."""

    target: Annotated[str | None, Meta(description="The target; null: all of them.")] = None


class Promote(Request, frozen=True, tag="promote"):
    """Make this node the source, or say what that would lose."""

    dry_run: Annotated[bool, Meta(description="Change nothing; answer what would be lost, with a token.")] = False
    force: Annotated[str | None, Meta(description="The token of a dry run: go on although data may be lost.")] = None
    fenced: Fenced = ()


class Demote(Request, frozen=True, tag="demote"):
    """Make this source a target."""


class Switchover(Request, frozen=True, tag="switchover"):
    """Hand the mirror over to a target that is InSync."""

    to: Annotated[str, Meta(description="The node that is to be source.")]


class Resolve(Request, frozen=True, tag="resolve"):
    """End a split-brain: this node gives way to another's data."""

    keep: Annotated[str, Meta(description="The node whose data is kept.")]
    discard: Annotated[bool, Meta(description="Do not save the blocks that only this node has written.")] = False


class Reload(Request, frozen=True, tag="reload"):
    """Take up the public keys in the description as it is now."""


class Clear(Request, frozen=True, tag="clear"):
    """Lift a verdict that stands against this node's copy."""

    verdict: Annotated[Verdict, Meta(description="The verdict.")]


class Adopt(Request, frozen=True, tag="adopt"):
    """Apply the present description alone, although too few nodes of the former one know it."""

    fenced: Fenced = ()


class Descriptions(Request, frozen=True, tag="descriptions"):
    """Compare the description of this node with those of the others."""


AnyRequest = (
    Status
    | Events
    | Pause
    | Resume
    | Resync
    | Verify
    | Intent
    | Promote
    | Demote
    | Switchover
    | Resolve
    | Reload
    | Clear
    | Adopt
    | Descriptions
)

KINDS: tuple[type[Request], ...] = get_args(AnyRequest)


def command_of(request: type[Request] | Request) -> str:
    """Return the command that a request, or a type of request, names."""
    return str(request.__struct_config__.tag)


_BY_COMMAND = {command_of(kind): kind for kind in KINDS}


def encode(request: Request) -> bytes:
    """Return the line that is sent."""
    return msgspec.json.encode(request) + b"\n"


def decode(line: bytes) -> AnyRequest:
    """Return the request in a line. Raises ``UsageError``, which says what is wrong with it."""
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"the request is not JSON ({error})") from None
    if not isinstance(fields, dict):
        raise UsageError("the request is not a JSON object")
    command = fields.pop("command", None)
    if not isinstance(command, str):
        raise UsageError("the request names no command")
    return of(command, fields)


def of(command: str, fields: dict[str, Any]) -> AnyRequest:
    """Return the request that ``command`` makes of these fields. Raises ``UsageError``."""
    kind = _BY_COMMAND.get(command)
    if kind is None:
        raise UsageError(f"the daemon knows no command {command!r}; it knows {', '.join(_BY_COMMAND)}")
    try:
        request: AnyRequest = msgspec.convert({"command": command, **fields}, kind)  # type: ignore[assignment]
    except msgspec.ValidationError as error:
        raise UsageError(f"the request {command} cannot be understood: {error}") from None
    return request
