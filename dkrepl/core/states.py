"""The states of a target, as the source and as the target itself see it, and which may follow which (R10)."""

from __future__ import annotations

from typing import Literal

TargetState = Literal["Disconnected", "Connecting", "Resyncing", "InSync", "Behind", "Paused", "Refused"]
STATES: tuple[TargetState, ...] = (
    "Disconnected",  # not connected; the bitmap collects
    "Connecting",  # handshake under way
    "Resyncing",  # in the stream, and blocks of the bitmap are being copied
    "InSync",  # in the stream, no dirty block but those in the window
    "Behind",  # connected, out of the stream; will resync
    "Paused",  # kept out of the stream by the administrator
    "Refused",  # may not join; the reason says why
)
IN_STREAM = frozenset(("Resyncing", "InSync"))

# What may follow each state. The tables of docs/architecture.md say by which event.
SEEN_BY_SOURCE: dict[TargetState, tuple[TargetState, ...]] = {
    "Disconnected": ("Connecting", "Refused", "Paused"),
    "Connecting": ("Resyncing", "Behind", "Disconnected", "Refused", "Paused"),
    "Resyncing": ("InSync", "Behind", "Disconnected", "Refused", "Paused"),
    "InSync": ("Behind", "Disconnected", "Refused", "Paused"),
    "Behind": ("Connecting", "Disconnected", "Refused", "Paused"),
    "Refused": ("Connecting", "Disconnected", "Paused"),
    "Paused": ("Disconnected",),
}
SEEN_BY_TARGET: dict[TargetState, tuple[TargetState, ...]] = {
    "Disconnected": ("Connecting", "Refused", "Paused", "Behind"),
    "Connecting": ("Resyncing", "Behind", "Disconnected", "Refused", "Paused"),
    "Resyncing": ("InSync", "Behind", "Disconnected", "Paused"),
    "InSync": ("Behind", "Disconnected", "Paused"),
    "Behind": ("Connecting", "Disconnected", "Refused", "Paused"),
    "Refused": ("Connecting", "Disconnected", "Behind", "Paused"),
    "Paused": ("Connecting", "Disconnected", "Refused", "Behind"),
}


class IllegalTransition(RuntimeError):
    """The daemon would show a state that cannot follow the present one (R10): a mistake of its own."""


def check_transition(
    table: dict[TargetState, tuple[TargetState, ...]], name: str, before: TargetState, after: TargetState
) -> None:
    """Raise ``IllegalTransition`` unless ``after`` is ``before`` or may follow it."""
    if after != before and after not in table[before]:
        raise IllegalTransition(f"{name} cannot go from {before} to {after}")
