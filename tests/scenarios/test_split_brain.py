"""Two nodes are source at once, and each writes what the other lacks: nothing is overwritten unasked (R7)."""

from __future__ import annotations

from dkrepl.api.requests import Resolve
from tests.lab.mirror import Lab, Wanted
from tests.lab.status import source_status


def test_a_split_brain_is_reported_with_evidence_and_what_the_loser_alone_has_is_saved_aside(lab: Lab) -> None:
    with lab.mirror(Wanted(gamma="async")) as mirror:
        alpha, beta, gamma = mirror.alpha, mirror.beta, mirror.gamma
        mirror.cut(beta, alpha, gamma)
        with mirror.writing(alpha, mirror.area(1)) as mine:
            mirror.wait_missing_source(beta)
            mirror.take_over_by_force(beta)
            with mirror.writing(beta, mirror.area(2), seed=2) as theirs:
                pass
            mine.wait_for_more(30)
        assert (mine.errors, theirs.errors) == (0, 0)
        mirror.heal()

        found = {}
        for node, other, load in ((alpha, beta, mine), (beta, alpha, theirs)):
            found[node.name] = mirror.wait_split_brain(node)  # both serve on until they are told something else
            assert found[node.name].peer == other.name
            assert found[node.name].since
            assert 0 < (found[node.name].here_bytes or 0) <= load.written(mirror.block), "what it alone has written"
        assert found["alpha"].here_bytes == found["beta"].there_bytes
        assert not mine.missing_on(alpha)
        assert not theirs.missing_on(beta)

        beta.ask(Resolve(keep="alpha"))
        mirror.wait_following(beta, alpha)
        mirror.assert_equal_copies(alpha)
        assert not mine.missing_on(beta)
        assert not theirs.missing_aside(beta)
        assert source_status(alpha.status()).split_brain is None
        both = mine.written(mirror.block) + theirs.written(mirror.block)
        assert 0 < mirror.partial_resync(alpha, beta).copied_bytes <= both, "only what one of the two sides wrote"
