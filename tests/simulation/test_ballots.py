"""Stories of voters: nothing late, lost or old sets one free that an elected node counts on (R11).

Four nodes with two copies of each write, as in test_votes.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from dkrepl.core.election import vote
from dkrepl.errors import DkreplError
from tests.simulation.commands import give
from tests.simulation.disk import SECTOR
from tests.simulation.elections import (
    alpha_hands_over,
    alpha_is_cut_off,
    answering,
    beta_is_promoted,
    elected,
    elected_and_answering,
    only_beta_answers,
    promised,
    record,
    up,
)
from tests.simulation.settings import PEER_TIMEOUT
from tests.simulation.story import SEEDS, Story, telling

each = pytest.mark.parametrize("seed", SEEDS)


def _half_elected(story: Story) -> list[Any]:
    """beta asks for votes and has delta's, which is not enough; return where the answer to the promotion will be."""
    alpha_is_cut_off(story)
    story.cut("beta", "gamma")
    answers: list[Any] = []
    give(story.process("beta"), "promote", {}, answers.append)
    story.until(lambda: promised(story, "delta") == "beta", "delta has voted")
    return answers


@each
def test_a_withdrawal_of_a_former_daemon_does_not_free_a_voter(seed: int) -> None:
    """beta's first promotion is refused; its withdrawal is in the kernel's queue of a slow connection when its daemon
    is restarted. By a new connection it is promoted, with delta's vote. Then what was in the old one arrives."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        answers = _half_elected(story)
        old = up(story, "beta", "delta")
        old.up.hold()
        story.until(lambda: bool(answers), "beta is refused")
        assert isinstance(answers[0], DkreplError)
        story.run(0.1)
        late = [frame for frame, _ in old.up.on_the_way]
        identity = old.listener.identity_of(old)
        story.restart("beta")
        story.join("beta", "gamma")
        story.run(1.0)
        elected(story)
        assert promised(story, "delta") == "beta"
        for frame in late:
            story.cluster.switch.listening["delta"].arrived(identity, frame)
        story.run(vote.SECONDS + 2)
        only_beta_answers(story)


@each
def test_an_answer_of_before_its_candidacy_does_not_free_a_voter(seed: int) -> None:
    """delta asks beta, for which it voted long ago, what it is. The answer, "a target", is overtaken, on another
    connection, by beta's request for votes: beta has just been promoted."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        answers = _half_elected(story)
        story.cut("beta", "delta")  # the withdrawal is lost
        story.until(lambda: bool(answers), "beta is refused")
        assert isinstance(answers[0], DkreplError)
        story.restart("beta")  # so that the withdrawal is lost
        story.run(vote.SECONDS + 3)
        assert promised(story, "delta") == "beta"
        story.join("beta", "gamma", "delta")
        story.until(
            lambda: any(c.client.name == "delta" and c.server.name == "beta" for c in story.cluster.switch.connections),
            "delta is connected",
        )
        slow = up(story, "delta", "beta")
        slow.down.hold()
        story.run(2.2)  # delta asks
        assert promised(story, "delta") == "beta"
        story.command("beta", "promote")
        slow.down.let_go()
        story.until(lambda: story.is_source("beta"), "beta is source")
        story.cut("delta", "beta", "gamma")
        story.cluster.official = "beta"
        story.until(lambda: story.follows("gamma"), "gamma follows beta")
        story.run(vote.SECONDS + 2)
        only_beta_answers(story)


@each
def test_resolve_of_before_a_renewed_vote_does_not_undo_it(seed: int) -> None:
    """As test_resolve_of_before_does_not_undo_a_vote; but delta's record names beta already, from a promotion that
    was broken off, so the new vote is not recorded anew, and the word of the administrator stays."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        alpha_is_cut_off(story)
        give(story.process("beta"), "promote", {})
        story.until(lambda: promised(story, "delta") == "beta", "delta has voted")
        story.crash("kill", "beta")
        story.run(1.0)
        assert promised(story, "delta") == "beta"
        story.command("delta", "resolve", keep="alpha")
        story.start("beta")
        story.run(2.0)
        elected(story)
        story.run(vote.SECONDS + 2)
        only_beta_answers(story)


@each
@pytest.mark.parametrize("idle", [False, True])
def test_a_switchover_of_the_elected_node_does_not_free_a_voter(seed: int, idle: bool) -> None:
    """beta hands over to gamma. delta learns that beta is a target, and does not go back to alpha for that."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        alpha_is_cut_off(story)
        elected(story)
        story.run(vote.SECONDS + 2)
        if not idle:
            story.write_a_little(b"B")
        story.switch_over("beta", "gamma")
        story.until(lambda: story.follows("beta"), "beta follows gamma")
        story.join("delta", "beta", "alpha")
        story.run(8.0)
        assert answering(story, "alpha", "gamma") == ["gamma"], f"seed {seed}: {promised(story, 'delta')!r}"


@each
def test_a_demotion_of_the_elected_node_does_not_free_a_voter(seed: int) -> None:
    """beta and gamma have answered writes; beta is demoted."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        elected_and_answering(story)
        story.command("beta", "demote")
        story.join("delta", "beta", "alpha")
        story.run(8.0)
        assert answering(story, "alpha") == [], f"seed {seed}: {promised(story, 'delta')!r}"


@each
def test_a_late_request_for_votes_does_not_win_a_voter_of_another(seed: int) -> None:
    """alpha was restarted; delta's vote was not needed, and the request for it is still on its way when alpha is source
    and cut off. beta is elected, delta votes for it. Then the old request arrives at delta, and alpha's Welcome."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        story.quiet()
        story.crash("kill", "beta", "alpha")
        story.run(2 * PEER_TIMEOUT)
        story.start("alpha")
        arbitration = story.process("alpha").runtime.arbitration
        story.until(lambda: bool(arbitration.vote), "alpha asks for votes")
        old = up(story, "alpha", "delta")
        identity = old.listener.identity_of(old)
        late: list[bytes] = []
        old.up.put = lambda frame: late.append(frame[0])
        story.until(lambda: story.is_source("alpha"), "alpha is source")
        assert late
        story.cut("alpha", "beta", "gamma", "delta")
        story.start("beta")
        story.run(vote.SECONDS + 3)
        elected(story)
        story.run(vote.SECONDS + 2)
        assert promised(story, "delta") == "beta"
        story.cluster.switch.listening["delta"].arrived(identity, late[0])
        story.run(0.5)
        only_beta_answers(story)


@each
def test_a_failed_last_flush_that_could_not_be_recorded_is_not_forgotten(seed: int) -> None:
    """alpha is demoted; its last flush fails, and the state directory has no space until just before the new role is
    recorded. It has to be known all the same that alpha's copy lacks answered writes."""
    with telling(seed) as story:
        story.quiet()
        for number in range(12):  # a failed flush loses about half of them
            assert story.write(number * 10 * SECTOR, b"%08x" % number * (SECTOR // 8)).code == 0
        process: Any = story.process("alpha")
        machine = story.machine("alpha")
        machine.disk_faults["sync"] = 1.0
        machine.full.add("state")
        io = process.io

        def there_is_space_again(what: str) -> None:
            if process.runtime is None:  # between the roles
                machine.full.discard("state")
                machine.disk_faults.clear()
            io(what)

        process.io = there_is_space_again
        story.command("alpha", "demote")
        story.until(lambda: story.process("alpha").is_target, "alpha is a target")
        process.io = io
        story.run(PEER_TIMEOUT + 1)
        lacks = sum(a != b for a, b in zip(story.store("alpha"), story.store("beta"), strict=True))
        looked = story.command("alpha", "promote", dry_run=True)
        assert lacks > 0
        assert not looked["safe"], f"seed {seed}: safe, and {lacks} bytes differ; {record(story, 'alpha')}"


@each
def test_an_elected_source_can_be_restarted_while_a_voter_sees_the_old_one(seed: int) -> None:
    """gamma, delta and beta reach each other, alpha reaches only delta. beta's daemon is restarted, and serves."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        alpha_is_cut_off(story)
        beta_is_promoted(story)
        story.until(lambda: story.follows("gamma") and story.follows("delta"), "both follow beta")
        story.run(vote.SECONDS + 2)
        story.join("alpha", "delta")
        story.run(2.0)
        story.restart("beta")
        story.run(60.0)
        process = story.process("beta")
        if not story.is_source("beta"):
            shown = story.command("beta", "status")
            target = story.command("delta", "status")
            raise AssertionError(
                f"{process.runtime.arbitration.reason}; beta: {shown.get('reason')}; delta: {target.get('reason')}"
            )


@each
def test_a_released_voter_does_not_inherit_from_the_old_source(seed: int) -> None:
    """alpha hands over to delta, which is cut off; beta is elected by gamma and delta, answers writes, and is demoted.
    That must not set delta free to take over from alpha after all, without asking anybody."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        alpha_hands_over(story)
        elected(story)
        assert answering(story, "beta") == ["beta"]
        story.run(vote.SECONDS)
        story.command("beta", "demote")
        story.join("beta", "delta")
        story.run(4.0)
        story.cut("beta", "delta")
        story.join("alpha", "delta")
        story.run(10.0)
        assert answering(story, "delta") == [], f"seed {seed}"


@each
def test_a_promotion_succeeds_right_after_a_refused_one(seed: int) -> None:
    """The refused candidate's withdrawal is still on its way; the other gets its votes all the same."""
    with telling(seed, nodes=4, modes={"alpha": "async"}, min_copies=2, on_no_quorum="wait") as story:
        story.quiet()
        story.command("alpha", "demote")
        story.until(lambda: not story.cluster.sources, "alpha is no source")
        story.run(2 * PEER_TIMEOUT)
        assert isinstance(story.ask_for("alpha", "promote"), DkreplError)
        found = story.ask_for("beta", "promote")
        assert not isinstance(found, DkreplError), str(found)
