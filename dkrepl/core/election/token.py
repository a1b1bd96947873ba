"""The token of a dry run, which a promotion by force must name: it shows what the administrator has accepted.

It stands for all reasons against the promotion, with their sentences, and for what the figures of the dry run rest on.
So it changes whenever a reason appears or a figure changes. It does not change with time alone: neither holds a time
that goes on. It does not change with the writes of a source that a peer still hears either: that source goes on, so
where one is heard the amounts are left out. Nor does it change with the candidacy of this node itself, which a dry run
has not begun: its own vote, the votes for it and those that it lacks are left out. Other nodes' candidacies show in
their votes, and in what this node and its peers have promised.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec
from xxhash import xxh3_64_hexdigest

from dkrepl.core.election.objections import Reason
from dkrepl.core.election.outlook import Outlook
from dkrepl.core.protocol.messages import Answer, Copy

_DIGITS = 8  # so few that they are typed without a mistake; what they guard against is an old look, not an attacker


def token_of(
    own: Answer,
    answers: Iterable[Answer],
    against: Iterable[Reason],
    outlooks: Iterable[Outlook],
    fenced: Collection[str],
) -> str:
    """Return 8 hex digits.

    ``answers``: those that came, and ``own``. ``against``: the reasons, without those that follow from votes.
    """
    there = {answer.node: answer for answer in answers}
    goes_on = any(answer.copy is not None and answer.copy.hears for answer in there.values())
    facts: list[object] = [own.mirror, own.node, sorted(fenced), *against]
    for outlook in outlooks:
        answer = there.get(outlook.node)
        facts.append((outlook.node, outlook.mode, outlook.reachable))
        if answer is None:
            continue
        facts += _of_role(own, answer)
        if not (answer.role == "source" or (answer.copy and answer.copy.hears)):
            facts += _of_copy(answer)
        if not goes_on:
            figures = (outlook.lost_seconds, outlook.lost_bytes) if answer is own else ()
            facts.append((figures, outlook.overwritten_bytes))
    return xxh3_64_hexdigest(msgspec.json.encode(facts))[:_DIGITS]


def _of_role(own: Answer, answer: Answer) -> list[object]:
    """Return what a node is, and whom it has helped to be source instead of this one."""
    rival = answer.vote if answer is not own and answer.vote != own.node else ""
    promised = [ballot for ballot in answer.promised if ballot.node != own.node]
    return [answer.role, answer.copy.hears if answer.copy else "", rival, promised]


def _of_copy(answer: Answer) -> list[object]:
    """Return what a copy is that no source changes."""
    copy = answer.copy or Copy()
    place = (answer.generation, copy.session, copy.applied, copy.head_bytes, copy.missing_bytes)
    return [place, copy.store_state, copy.in_sync_when_lost, copy.mode, copy.power_lost]
