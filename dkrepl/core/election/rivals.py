"""Whether another node could become source at the same time as the one that is promoted (R11)."""

from __future__ import annotations

from collections.abc import Mapping

from dkrepl.config.description import Description
from dkrepl.config.terms import required
from dkrepl.core.election import quorum
from dkrepl.core.election.objections import Reason, Silent
from dkrepl.core.election.vote import votes
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.core.protocol.messages import Answer


def withholds_vote(answer: Answer, ballot: Ballot | None) -> bool:
    """Whether a target could still vote, under ``ballot`` or for a rival: it hears no source, and has not voted."""
    if answer.role != "target" or (answer.copy and answer.copy.hears):
        return False
    return ballot is None or (answer.vote in ("", ballot.node) and not votes(answer, ballot))


def rivals(own: Answer, answers: Mapping[str, Answer | None]) -> list[Reason]:
    """Return whom those who answered help to be source at the same time."""
    there = [answer for answer in answers.values() if answer is not None]
    reasons = []
    for rival in sorted({answer.vote for answer in there} - {"", own.node}):
        voters = ", ".join(answer.node for answer in there if answer.vote == rival)
        text = f"{rival} may become source at the same time: it has asked for votes, and {voters} voted for it"
        reasons.append(Reason("RivalPromotion", text))
    return reasons


def missing_votes(
    description: Description,
    own: Answer,
    answers: Mapping[str, Answer | None],
    silent: tuple[Silent, ...],
    ballot: Ballot | None,
) -> list[Reason]:
    """Return whether those who answered and did not vote could be enough for another source.

    ``ballot``: under which this node asked for votes; None: it could not record that.
    """
    if ballot is None:
        text = (
            f"{own.node} could not record that it asks for votes; free space in its state directory, and promote again"
        )
        return [Reason("NoVote", text)] if own.vote in ("", own.node) else []
    others = [answer for answer in answers.values() if answer is not None and answer.node != own.node]
    without = [answer.node for answer in others if withholds_vote(answer, ballot)]
    # Another former source votes for nobody but itself, and may be promoted, too.
    asking = [answer.node for answer in others if own.role == "arbitrating" == answer.role]
    absent = [*without, *asking, *(one.node for one in silent if not one.fenced)]  # these may vote for another node
    if not any(quorum.decisive(absent, terms) for terms in (required(description), *own.former)):
        return []
    reasons = []
    if without:
        text = (
            f"{', '.join(without)} answered but did not vote for {own.node}, and could still vote for another node; "
            "promote again; if that does not help, check whether the state directory there is full or read-only"
        )
        reasons.append(Reason("NoVote", text))
    for name in asking:
        text = f"{name} was source too, and votes only for itself: make sure that it is not promoted"
        reasons.append(Reason("NoVote", text))
    return reasons
