"""What can go wrong, each with its exit code: one class, one sentence, one code.

The table in ``docs/reference/exit-codes.md`` is that of these classes (``dkrepl.errors.table``).
"""

from __future__ import annotations

from typing import ClassVar


class DkreplError(Exception):
    """Something unexpected went wrong; the sentence says what, to what, and what to do."""

    exit_code: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """The class name, which scripts can match on."""
        return type(self).__name__


class UsageError(DkreplError):
    """The command line cannot be understood."""

    exit_code = 2


class DescriptionError(DkreplError):
    """The mirror description file is wrong: unknown key, wrong unit, duplicate name or port."""

    exit_code = 3


class DaemonNotRunning(DkreplError):
    """No daemon answers on the mirror's control socket."""

    exit_code = 4


class Refused(DkreplError):
    """The mirror's state does not allow what was asked; nothing was changed."""

    exit_code = 5


class NotFound(DkreplError):
    """The mirror, node or target named does not exist."""

    exit_code = 6


class TimedOut(DkreplError):
    """The state waited for was not reached in the time given."""

    exit_code = 7


class CopiesDiffer(DkreplError):
    """A verify found ranges in which two copies are not equal."""

    exit_code = 8


class StoreError(DkreplError):
    """The backing store cannot be used: missing, too small, holds data, or failed."""

    exit_code = 9


class MetadataError(DkreplError):
    """A metadata file is damaged, of another mirror, or from a newer version."""

    exit_code = 10


class StateDirectoryError(MetadataError):
    """The state directory cannot be read or written: no space, or its disk fails. The daemon tries again."""

    # Another code than that of damaged metadata: this may go away by itself, so the service manager may start us again.
    exit_code = 14


class ProtocolError(DkreplError):
    """A peer, or the daemon asked, sent something that is not allowed; it was refused and nothing was applied."""

    exit_code = 11


class LocalProtocolError(DkreplError):
    """The daemon was about to break its own protocol; it ends, and the service manager starts it again."""

    exit_code = 15


class HostError(DkreplError):
    """The host lacks something needed: root, /dev/fuse, a loop device, a free port."""

    exit_code = 12


class NodeKeyError(DkreplError):
    """The node's secret key is missing, open to others, damaged, or not the one that the description names."""

    exit_code = 13


def kinds() -> list[type[DkreplError]]:
    """Return every class that has an exit code of its own."""
    found: list[type[DkreplError]] = [DkreplError]
    for cls in found:
        found.extend(sub for sub in cls.__subclasses__() if "exit_code" in vars(sub))
    return found


def table() -> list[tuple[int, str, str]]:
    """Return (exit code, class name, meaning) of every error, by code."""
    return sorted((cls.exit_code, cls.__name__, (cls.__doc__ or "").strip()) for cls in kinds())
