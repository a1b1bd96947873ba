"""Stories of voters: nothing late, lost or old sets one free that an elected node counts on (R11).

Four nodes with two copies of each write, as in test_votes.py; and asynchronous nodes that are made source.
"""

from __future__ import annotations

from typing import Any

import pytest

from dkrepl.core.election import vote
from dkrepl.errors import DkreplError
from dkrepl.io.fuse import WRITE
from tests.simulation.commands import give
from tests.simulation.disk import SECTOR
from tests.simulation.elections import elected, sources
from tests.simulation.settings import PEER_TIMEOUT
from tests.simulation.story import SEEDS, Story, telling

each = pytest.mark.parametrize("seed", SEEDS)


def answering(story: Story, *names: str) -> list[str]:
    """Which of these nodes are source and answer a write, each asked by an application of its own."""
    found = []
    for name in names:
        if not story.is_source(name):
            continue
        asked = story.cluster.application.ask(story.process(name), WRITE, 0, SECTOR, name.encode()[:1] * SECTOR)
        story.run(2.0)
        if asked.code == 0:
            found.append(name)
    return found


def record(story: Story, name: str) -> Any:
    return story.machine(name).disk.durable_metadata()


def promised(story: Story, name: str) -> str:
    """For which node this one voted last, if that still binds it."""
    found = record(story, name).promised
    return found[0].node if found else ""


def alpha_is_cut_off(story: Story) -> None:
    story.quiet()
    story.cut("alpha", "beta", "gamma", "delta")
    story.run(2 * PEER_TIMEOUT)


def up(story: Story, client: str, server: str) -> Any:
    """The newest control connection from a client to a server."""
    found = [
        one
        for one in story.cluster.switch.connections
        if one.client.name == client and one.server.name == server and not one.frozen and one.up.open
    ]
    return found[-1]


@each
def test_a_withdrawal_of_a_former_daemon_does_not_free_a_voter(seed: int) -> None:
    """beta's first promotion is refused; its withdrawal is in the kernel's queue of a slow connection when its daemon
    is restarted. By a new connection it is promoted, with delta's vote. Then what was in the old one arrives."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        alpha_is_cut_off(story)
        story.cut("beta", "gamma")
        answers: list[Any] = []
        give(story.process("beta"), "promote", {}, answers.append)
        story.until(lambda: promised(story, "delta") == "beta", "delta has voted")
        old = up(story, "beta", "delta")
        old.up._moving = True  # what is sent from here on stays on its way
        story.until(lambda: bool(answers), "beta is refused")
        assert isinstance(answers[0], DkreplError)
        story.run(0.1)
        late = [frame for frame, _ in old.up._queue]
        identity = old.listener._routes and next(i for i, c in old.listener._routes.items() if c is old)
        story.restart("beta")
        story.join("beta", "gamma")
        story.run(1.0)
        elected(story)
        assert promised(story, "delta") == "beta"
        for frame in late:
            story.cluster.switch.listening["delta"].arrived(identity, frame)
        story.run(vote.SECONDS + 2)
        story.join("alpha", "delta")
        story.run(8.0)
        assert answering(story, "alpha", "beta") == ["beta"], f"seed {seed}: {promised(story, 'delta')!r}"


@each
def test_an_answer_of_before_its_candidacy_does_not_free_a_voter(seed: int) -> None:
    """delta asks beta, for which it voted long ago, what it is. The answer, "a target", is overtaken, on another
    connection, by beta's request for votes: beta has just been promoted."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        alpha_is_cut_off(story)
        story.cut("beta", "gamma")
        answers: list[Any] = []
        give(story.process("beta"), "promote", {}, answers.append)
        story.until(lambda: promised(story, "delta") == "beta", "delta has voted")
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
        slow.down._moving = True
        story.run(2.2)  # delta asks
        assert promised(story, "delta") == "beta"
        story.command("beta", "promote")
        slow.down._moving = False
        slow.down.go_on()
        story.until(lambda: story.is_source("beta"), "beta is source")
        story.cut("delta", "beta", "gamma")
        story.cluster.official = "beta"
        story.until(lambda: story.follows("gamma"), "gamma follows beta")
        story.run(vote.SECONDS + 2)
        story.join("alpha", "delta")
        story.run(8.0)
        assert answering(story, "alpha", "beta") == ["beta"], f"seed {seed}: {promised(story, 'delta')!r}"


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
        story.join("alpha", "delta")
        story.run(8.0)
        assert answering(story, "alpha", "beta") == ["beta"], f"seed {seed}: {record(story, 'delta').yields_to!r}"


@each
@pytest.mark.parametrize("idle", [False, True])
def test_a_switchover_of_the_elected_node_does_not_free_a_voter(seed: int, idle: bool) -> None:
    """beta hands over to gamma. delta learns that beta is a target, and goes back to alpha."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        alpha_is_cut_off(story)
        elected(story)
        story.run(vote.SECONDS + 2)
        if not idle:
            story.write_a_little(b"B")
        story.command("beta", "switchover", to="gamma")
        story.until(lambda: story.is_source("gamma"), "gamma is source")
        story.cluster.official = "gamma"
        story.until(lambda: story.follows("beta"), "beta follows gamma")
        story.join("delta", "beta", "alpha")
        story.run(8.0)
        assert answering(story, "alpha", "gamma") == ["gamma"], f"seed {seed}: {promised(story, 'delta')!r}"


@each
def test_a_demotion_of_the_elected_node_does_not_free_a_voter(seed: int) -> None:
    """beta and gamma have answered writes; beta is demoted."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        alpha_is_cut_off(story)
        elected(story)
        story.run(vote.SECONDS + 2)
        assert answering(story, "beta") == ["beta"]
        story.command("beta", "demote")
        story.join("delta", "beta", "alpha")
        story.run(8.0)
        assert answering(story, "alpha") == [], f"seed {seed}: {promised(story, 'delta')!r}"


@each
def test_an_elected_source_that_is_restarted_does_not_give_way_to_the_old_one(seed: int) -> None:
    """No command but the one promotion. beta has answered writes, and is restarted when it reaches alpha again."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        alpha_is_cut_off(story)
        elected(story)
        story.run(vote.SECONDS + 2)
        assert answering(story, "beta") == ["beta"]
        story.join("alpha", "beta")
        story.join("delta", "alpha", "beta")
        story.restart("beta")
        story.run(12.0)
        assert answering(story, "alpha") == [], f"seed {seed}: {promised(story, 'delta')!r}, {sources(story)}"


@each
def test_an_elected_source_that_returns_after_the_network_has_healed_does_not_give_way_to_the_old_one(
    seed: int,
) -> None:
    """As before; nothing is cut any more when beta comes back from a loss of power."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        alpha_is_cut_off(story)
        elected(story)
        story.run(vote.SECONDS + 2)
        assert answering(story, "beta") == ["beta"]
        story.crash("power", "beta")
        story.run(5.0)
        story.join("alpha", "beta", "gamma", "delta")
        story.join("delta", "beta", "gamma")
        story.run(5.0)
        assert answering(story, "alpha") == []
        story.start("beta")
        story.run(12.0)
        assert answering(story, "alpha") == [], f"seed {seed}: {promised(story, 'delta')!r}, {sources(story)}"


@each
@pytest.mark.parametrize("how", ["disk", "cut"])
def test_a_former_source_does_not_serve_beside_one_that_was_elected_before(seed: int, how: str) -> None:
    """beta was elected by gamma and delta, has answered nothing yet, and is cut off. alpha returns, and has gamma's
    vote; delta's is late, or cannot be recorded. Two votes are not enough, for gamma has voted for beta before."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        story.quiet()
        story.crash("kill", "alpha")
        story.run(2 * PEER_TIMEOUT)
        story.command("beta", "promote")
        story.until(lambda: story.is_source("beta"), "beta is source")
        story.cut("beta", "alpha", "gamma", "delta")
        story.run(vote.SECONDS + 2)
        if how == "disk":
            story.machine("delta").disk_faults["metadata"] = 1.0
        story.start("alpha")
        arbitration = story.process("alpha").runtime.arbitration
        if how == "cut":
            story.until(lambda: bool(arbitration._ask.vote), "alpha asks for votes")
            assert sorted(arbitration.answers) == ["delta", "gamma"]
            story.cut("alpha", "delta")
        story.run(6.0)
        assert sources(story) == ["beta"]
        assert "has voted for beta" in arbitration.reason
        story.machine("delta").disk_faults.clear()
        story.cut("delta", "alpha", "gamma")
        story.join("beta", "delta")
        story.run(8.0)
        assert answering(story, "beta") == ["beta"]
        assert sources(story) == ["beta"]


@each
def test_the_copy_of_an_asynchronous_source_does_not_count(seed: int) -> None:
    """beta hands over to the async alpha while gamma is cut off. gamma need not know of it, so alpha and beta together
    answer nothing, and gamma may be promoted."""
    with telling(seed, nodes=3, modes={"alpha": "async"}, min_copies=2, on_no_quorum="wait") as story:
        story.quiet()
        story.command("alpha", "switchover", to="beta")
        story.until(lambda: story.is_source("beta"), "beta is source")
        story.cluster.official = "beta"
        story.until(story.in_sync, "all follow beta")
        story.cut("gamma", "alpha", "beta")
        story.run(2 * PEER_TIMEOUT)
        story.command("beta", "switchover", to="alpha")
        story.until(lambda: story.is_source("alpha"), "alpha is source")
        story.until(lambda: story.process("alpha").runtime.source.views["beta"].state == "InSync", "beta follows alpha")
        assert answering(story, "alpha") == []
        assert story.command("gamma", "promote", dry_run=True)["safe"]


@each
def test_async_sources_and_two_pairs(seed: int) -> None:
    """The same with four nodes: gamma and delta elect gamma, and both pairs answer writes."""
    with telling(seed, nodes=4, modes={"alpha": "async"}, min_copies=2, on_no_quorum="wait") as story:
        story.quiet()
        story.command("alpha", "switchover", to="beta")
        story.until(lambda: story.is_source("beta"), "beta is source")
        story.cluster.official = "beta"
        story.until(story.in_sync, "all follow beta")
        story.cut("gamma", "alpha", "beta")
        story.cut("delta", "alpha", "beta")
        story.run(2 * PEER_TIMEOUT)
        story.command("beta", "switchover", to="alpha")
        story.until(lambda: story.is_source("alpha"), "alpha is source")
        story.until(lambda: story.process("alpha").runtime.source.views["beta"].state == "InSync", "beta follows")
        story.command("gamma", "promote")
        story.run(8.0)
        assert answering(story, "alpha", "gamma") == ["gamma"], f"seed {seed}"


@each
@pytest.mark.parametrize("how", ["restart", "wait"])
def test_an_async_heir_that_has_taken_over_makes_no_promotion_safe(seed: int, how: str) -> None:
    """min_copies = 1: alpha hands over to the async gamma, which is cut off and answers writes. alpha's daemon is
    restarted, or a minute passes, so it names no heir any more; nobody reckons with gamma."""
    with telling(seed, nodes=3, modes={"gamma": "async"}) as story:
        story.quiet()
        story.command("alpha", "switchover", to="gamma")
        story.until(lambda: story.is_source("gamma"), "gamma is source")
        story.cut("gamma", "alpha", "beta")
        story.cluster.official = "gamma"
        if how == "restart":
            story.restart("alpha")
            story.run(5.0)
        else:
            story.run(62.0)
        assert answering(story, "gamma") == ["gamma"]
        looked = story.command("beta", "promote", dry_run=True)
        assert not looked["safe"], f"seed {seed}"
        story.ask_for("beta", "promote")
        story.run(4.0)
        assert sources(story) == ["gamma"], f"seed {seed}: {answering(story, 'gamma', 'beta')}"


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
        story.until(lambda: bool(arbitration._ask.vote), "alpha asks for votes")
        old = up(story, "alpha", "delta")
        identity = next(i for i, c in old.listener._routes.items() if c is old)
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
        story.join("alpha", "delta")
        story.run(8.0)
        assert answering(story, "alpha", "beta") == ["beta"], f"seed {seed}: {promised(story, 'delta')!r}"


@each
def test_a_failed_last_flush_that_could_not_be_recorded_is_not_forgotten(seed: int) -> None:
    """alpha is demoted; its last flush fails, and the state directory has no space until just before the new role is
    recorded. Then nothing says that alpha's copy lacks answered writes."""
    with telling(seed) as story:
        story.quiet()
        for number in range(6):
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
        story.command("beta", "promote")
        story.until(lambda: story.is_source("beta"), "beta is source")
        story.cluster.official = "beta"
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
def test_two_nodes_the_async_heir_answers_and_the_former_source_is_promoted(seed: int) -> None:
    """Two nodes, min_copies = 1. alpha hands over to the async beta; the link fails; alpha's daemon is restarted."""
    with telling(seed, nodes=2, modes={"beta": "async"}) as story:
        story.quiet()
        story.command("alpha", "switchover", to="beta")
        story.until(lambda: story.is_source("beta"), "beta is source")
        story.cut("alpha", "beta")
        story.restart("alpha")
        story.run(5.0)
        story.ask_for("alpha", "promote")  # without force
        story.run(4.0)
        assert answering(story, "alpha", "beta") == ["beta"], f"seed {seed}"


@each
def test_a_released_voter_does_not_inherit_from_the_old_source(seed: int) -> None:
    """alpha hands over to delta, which is cut off; beta is elected by gamma and delta, answers writes, and is demoted.
    That sets delta free, and within a minute it takes over from alpha after all, without asking anybody."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        story.quiet()
        story.command("alpha", "switchover", to="delta")
        story.until(lambda: not story.cluster.sources, "alpha is no source")
        story.cut("alpha", "beta", "gamma", "delta")
        story.run(PEER_TIMEOUT + 3)
        assert sources(story) == []
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
def test_a_promotion_with_the_old_source_fenced_is_not_safe_beside_its_async_heir(seed: int) -> None:
    """min_copies = 1. alpha hands over to the async gamma and then dies; it is declared fenced, rightly. gamma is cut
    off, serves, and is reckoned with by nobody."""
    with telling(seed, nodes=3, modes={"gamma": "async"}) as story:
        story.quiet()
        story.command("alpha", "switchover", to="gamma")
        story.until(lambda: story.is_source("gamma"), "gamma is source")
        story.cut("gamma", "alpha", "beta")
        story.crash("power", "alpha")
        story.cluster.official = "gamma"
        story.run(2 * PEER_TIMEOUT)
        assert answering(story, "gamma") == ["gamma"]
        looked = story.command("beta", "promote", dry_run=True, fenced=["alpha"])
        assert not looked["safe"], f"seed {seed}"


@each
def test_a_former_source_that_was_declared_fenced_serves_beside_the_promoted_one(seed: int) -> None:
    """N = 2, W = 1. alpha is killed, and beta promoted with --fenced alpha, rightly. alpha is started again while beta
    changes its role; beta's last answer as a target names its vote for itself."""
    with telling(seed, nodes=2, min_copies=1) as story:
        story.quiet()
        story.crash("kill", "alpha")
        story.run(2 * PEER_TIMEOUT)
        story.start("alpha")
        story.cut("alpha", "beta")
        story.run(0.3)
        # alpha asks; its first answer comes, and it is read only when beta has stood
        story.crash("kill", "alpha")
        answers: list[Any] = []
        process = story.process("beta")
        give(process, "promote", {"fenced": ["alpha"]}, answers.append)
        story.run(1.0)
        story.join("alpha", "beta")
        story.start("alpha")
        story.until(lambda: bool(answers), "an answer")
        assert not isinstance(answers[0], DkreplError), answers[0]
        story.run(12.0)
        assert answering(story, "alpha", "beta") == ["beta"], f"seed {seed}: {sources(story)}"


@each
def test_fenced_three_nodes_old_answer(seed: int) -> None:
    """N = 3, W = 1. alpha is restarted and has beta's answer, gamma's is missing. alpha is cut off; beta is promoted
    (alpha declared fenced, rightly, for it serves nobody), with gamma's vote. alpha reaches gamma, whose answer names
    the vote for beta."""
    with telling(seed, nodes=3, min_copies=1) as story:
        story.quiet()
        story.crash("kill", "alpha")
        story.run(2 * PEER_TIMEOUT)
        story.cut("alpha", "gamma")
        story.start("alpha")
        arbitration = story.process("alpha").runtime.arbitration
        story.until(lambda: "beta" in arbitration.answers, "beta has answered")
        story.cut("alpha", "beta")
        answers: list[Any] = []
        give(story.process("beta"), "promote", {"fenced": ["alpha"]}, answers.append)
        story.until(lambda: bool(answers), "an answer")
        assert not isinstance(answers[0], DkreplError), answers[0]
        story.until(lambda: story.is_source("beta"), "beta is source")
        story.join("alpha", "gamma")
        story.run(6.0)
        assert answering(story, "alpha", "beta") == ["beta"], f"seed {seed}: {sources(story)}"


@each
def test_fenced_four_nodes(seed: int) -> None:
    """N = 4, W = 2. alpha dies, gamma is off; beta is promoted with alpha declared fenced, and delta's vote: two real
    votes, not N - W + 1. Then alpha and gamma come back, and delta's daemon is restarted; alpha serves with gamma's
    vote while beta serves with delta."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        story.quiet()
        story.crash("kill", "alpha", "gamma")
        story.run(2 * PEER_TIMEOUT)
        story.command("beta", "promote", fenced=["alpha"])
        story.until(lambda: story.is_source("beta"), "beta is source")
        story.cluster.official = "beta"
        story.until(lambda: story.follows("delta"), "delta follows beta")
        story.run(vote.SECONDS + 2)
        story.cut("beta", "alpha", "gamma", "delta")
        story.run(2 * PEER_TIMEOUT)
        story.start("alpha", "gamma")
        arbitration = story.process("alpha").runtime.arbitration
        story.until(lambda: bool(arbitration._ask.vote), "alpha asks for votes")
        assert sorted(arbitration.answers) == ["delta", "gamma"]
        story.cut("alpha", "delta")
        story.join("beta", "delta")
        story.run(8.0)
        assert answering(story, "alpha", "beta") == ["beta"], f"seed {seed}: {sources(story)}"


@each
def test_a_source_by_force_is_followed_by_the_old_one_that_was_restarted_before(seed: int) -> None:
    """N = 3, W = 2. While beta is off, alpha's daemon is restarted twice: each time it is elected by gamma, under
    (1, alpha), (2, alpha). alpha and gamma are lost; beta is started, and promoted by force: under (1, beta). When
    alpha and gamma come back, they should follow it, as docs/how-to/fail-over.md says."""
    with telling(seed, nodes=3, min_copies=2, on_no_quorum="wait") as story:
        story.quiet()
        story.crash("kill", "beta")
        story.run(2 * PEER_TIMEOUT)
        for _ in range(2):
            story.restart("alpha")
            story.until(lambda: story.is_source("alpha"), "alpha is source again")
            story.until(lambda: story.follows("gamma"), "gamma follows")
            story.run(vote.SECONDS + 2)
        story.crash("power", "alpha", "gamma")
        story.start("beta")
        story.run(2 * PEER_TIMEOUT)
        token = story.command("beta", "promote", dry_run=True)["token"]
        story.machine("beta").forced = True
        story.command("beta", "promote", force=token)
        story.until(lambda: story.is_source("beta"), "beta is source")
        story.cluster.official = "beta"
        story.run(2.0)
        story.start("alpha", "gamma")
        story.run(60.0)
        assert story.in_sync(), f"seed {seed}"


@each
@pytest.mark.parametrize("idle", [False, True])
def test_a_switchover_while_an_old_source_still_runs(seed: int, idle: bool) -> None:
    """N = 4, W = 2. beta was elected while alpha was cut off; gamma and delta follow beta. alpha is reachable again and
    still source (nobody has demoted it). beta hands over to gamma, which is to take over."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        story.quiet()
        story.cut("alpha", "beta", "gamma", "delta")
        story.run(2 * PEER_TIMEOUT)
        story.command("beta", "promote")
        story.until(lambda: story.is_source("beta"), "beta is source")
        story.cluster.official = "beta"
        story.until(lambda: story.follows("gamma") and story.follows("delta"), "both follow beta")
        story.run(vote.SECONDS + 2)
        if not idle:
            story.write_a_little(b"B")
        story.join("alpha", "beta", "gamma", "delta")
        story.run(5.0)
        story.command("beta", "switchover", to="gamma")
        story.run(50.0)
        shown = story.command("gamma", "status")
        promoted = None if story.is_source("gamma") else story.ask_for("gamma", "promote")
        assert story.is_source("gamma"), f"{sources(story)}: {shown.get('reason')} | promote: {promoted}"


@each
def test_a_promotion_right_after_a_refused_one(seed: int) -> None:
    """The refused candidate's withdrawal is on its way: the next promotion fails, with a reason that is not so."""
    with telling(seed, nodes=4, modes={"alpha": "async"}, min_copies=2, on_no_quorum="wait") as story:
        story.quiet()
        story.command("alpha", "demote")
        story.until(lambda: not story.cluster.sources, "alpha is no source")
        story.run(2 * PEER_TIMEOUT)
        assert isinstance(story.ask_for("alpha", "promote"), DkreplError)
        found = story.ask_for("beta", "promote")
        assert not isinstance(found, DkreplError), str(found)


@each
def test_of_two_former_sources_the_one_that_was_elected_last_serves_again(seed: int) -> None:
    """beta was elected after alpha and wrote nothing; all lose power. Nobody has to say which of the two it is."""
    with telling(seed, nodes=3, min_copies=2, on_no_quorum="wait") as story:
        story.quiet()
        story.crash("kill", "alpha")
        story.run(2 * PEER_TIMEOUT)
        story.command("beta", "promote")
        story.until(lambda: story.is_source("beta"), "beta is source")
        story.cluster.official = "beta"
        story.crash("power", "beta", "gamma")
        story.start("alpha", "beta", "gamma")
        story.until(lambda: story.is_source("beta"), "beta is source again")
        story.until(story.in_sync, "all follow beta")


@each
def test_a_former_source_has_no_vote_for_another(seed: int) -> None:
    """As before, with four nodes; delta and beta are cut off. alpha may be promoted only by force: it has two
    votes, its own and gamma's, and beta could have two as well."""
    with telling(seed, nodes=4, min_copies=2, on_no_quorum="wait") as story:
        story.quiet()
        story.crash("kill", "alpha")
        story.run(2 * PEER_TIMEOUT)
        story.command("beta", "promote")
        story.until(lambda: story.is_source("beta"), "beta is source")
        story.cluster.official = "beta"
        story.crash("kill", "beta", "gamma", "delta")
        story.cut("delta", "alpha", "beta", "gamma")
        story.cut("beta", "gamma")
        story.start("alpha", "beta", "gamma", "delta")
        story.run(vote.SECONDS + 4)
        assert sources(story) == []
        assert isinstance(story.ask_for("alpha", "promote"), DkreplError)


@each
def test_of_two_sources_that_wrote_nothing_the_one_that_was_elected_first_is_to_be_demoted(seed: int) -> None:
    """beta is promoted, safely, while alpha is cut off."""
    with telling(seed, nodes=3, min_copies=2, on_no_quorum="wait") as story:
        story.quiet()
        story.cut("alpha", "beta", "gamma")
        story.run(2 * PEER_TIMEOUT)
        story.command("beta", "promote")
        story.until(lambda: story.is_source("beta"), "beta is source")
        story.cluster.official = "beta"
        story.until(lambda: story.follows("gamma"), "gamma follows beta")
        story.join("alpha", "beta", "gamma")
        story.run(5.0)
        assert "demote this node" in story.process("alpha").runtime.source.other_sources["beta"].text
        assert "demote alpha" in story.process("beta").runtime.source.other_sources["alpha"].text
        story.command("alpha", "demote")
        story.until(story.in_sync, "all follow beta")


@each
def test_a_source_that_was_elected_earlier_is_kept_by_resolve(seed: int) -> None:
    """beta is promoted by force while alpha is cut off, and writes nothing; alpha answers writes. Status says how."""
    with telling(seed, nodes=2, min_copies=1) as story:
        story.quiet()
        story.cut("alpha", "beta")
        story.run(2 * PEER_TIMEOUT)
        token = story.command("beta", "promote", dry_run=True)["token"]
        story.machine("beta").forced = True
        story.command("beta", "promote", force=token)
        story.until(lambda: story.is_source("beta"), "beta is source")
        assert answering(story, "alpha") == ["alpha"]
        story.join("alpha", "beta")
        story.run(5.0)
        assert "resolve --keep alpha" in story.process("beta").runtime.source.other_sources["alpha"].text
        assert "resolve --keep" in story.process("alpha").runtime.source.other_sources["beta"].text
        story.command("beta", "demote")
        story.cluster.official = "alpha"
        story.until(lambda: story.process("beta").is_target, "beta is a target")
        story.command("beta", "resolve", keep="alpha")
        story.until(story.in_sync, "beta follows alpha")
