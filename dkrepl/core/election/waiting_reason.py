"""What status says of a former source that waits: for whom, and what the administrator can do so that it goes on.

Each advice can be followed word for word, and ends the wait, or leads to a sentence that does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, assert_never

from dkrepl.core.election.contention import Contention
from dkrepl.core.election.vote import SECONDS


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What is known so far, by name of the peer.

    ``silent``: they have not answered; ``patience``: for so many seconds at most, None: without a limit. ``hearing``:
    the source that a peer hears. ``withheld``: the targets that did not vote, once every peer has answered. ``left``:
    the node, elected since, for which a target has voted, or which it has followed. ``contenders``: they stand in the
    way. ``rivals``: they have votes.
    """

    node: str
    silent: Collection[str] = ()
    patience: float | None = None
    hearing: Mapping[str, str] = field(default_factory=dict)
    withheld: Collection[str] = ()
    left: Mapping[str, str] = field(default_factory=dict)
    contenders: Mapping[str, Contention] = field(default_factory=dict)
    rivals: Collection[str] = ()


def waiting_reason(waiting: Waiting) -> str:
    """Return the sentence."""
    patience = (
        "without a time limit (start_alone)" if waiting.patience is None else f"for {waiting.patience:g} s at most"
    )
    what = f"waiting for {_list(waiting.silent)}, {patience}" if waiting.silent else "every peer has answered"
    head = f"it was source, and first asks its peers whether another node was promoted: {what}"
    return "; ".join((head, *_of_targets(waiting), *_of_contenders(waiting), *_of_rivals(waiting)))


def _of_targets(waiting: Waiting) -> Iterator[str]:
    """Why targets that answered are not enough; the first that fits, for it explains the others."""
    if waiting.hearing:
        heard = _list(f"{name} follows {source}" for name, source in waiting.hearing.items())
        sources = sorted(set(waiting.hearing.values()))
        it = "it" if len(sources) == 1 else "the one that was elected last"
        yield (
            f"{heard}, which may acknowledge writes: reconnect {_list(sources)} to this node, which then follows {it}"
        )
    elif waiting.withheld:
        yield (
            f"{_list(sorted(waiting.withheld))} did not vote for this node: check that the state directory there can "
            "be written"
        )
    elif waiting.left:
        voted = _list(f"{name} has voted for {to}, or followed it" for name, to in sorted(waiting.left.items()))
        elected = sorted(set(waiting.left.values()))
        who, verb = _list(elected), _verb(elected, "is", "are")
        yield (
            f"{voted}, since this node was elected, so {who} may be source: start {who}, or promote this node if {who} "
            f"{verb} off for good"
        )


def _of_contenders(waiting: Waiting) -> Iterator[str]:
    # Nobody can be promoted beside a source, so what the others stand for comes after it.
    sources = {name: kind for name, kind in waiting.contenders.items() if kind not in ("asks", "diverged")}
    contenders = sources or waiting.contenders
    for name, kind in contenders.items():
        if kind != "asks":
            yield _of_contender(waiting.node, name, kind)
    if names := [name for name, kind in contenders.items() if kind == "asks"]:
        also = _verb(names, "was source too, and also waits", "were source too, and also wait")
        yield f"{_list(names)} {also}: promote the node that is to serve"


def _of_contender(node: str, name: str, kind: Literal["diverged", "source", "newer source", "diverged source"]) -> str:
    match kind:
        case "source":
            return (
                f"{name} is source, but this node was elected after it, and {name} holds nothing that this node lacks: "
                f"demote {name}"
            )
        case "newer source":
            # Not to be demoted: this node would follow it then, for its data is newer, and none would be source.
            return (
                f"{name} is source, but this node was elected after it, and {name} holds all that this node holds, and "
                f"may hold more: run dkrepl resolve --keep {name} on {node}"
            )
        case "diverged source":
            return (
                f"{name} is source, but this node was elected after it, and each holds writes that the other lacks "
                f"(split-brain): decide which copy to keep, and run dkrepl resolve --keep {name} on {node}, or the "
                "other way round"
            )
        case "diverged":
            return (
                f"{name} holds writes that this node lacks, and this node holds writes that {name} lacks "
                f"(split-brain): promote the node that is to serve, or run dkrepl resolve --keep {node} on {name}"
            )
        case _:
            assert_never(kind)


def _of_rivals(waiting: Waiting) -> Iterator[str]:
    if names := sorted(waiting.rivals):
        what = _verb(names, "asks for votes too, and has some", "ask for votes too, and have some")
        yield f"{_list(names)} {what}: they end within {SECONDS:g} s"


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def _verb(names: Collection[str], one: str, more: str) -> str:
    return one if len(names) == 1 else more
