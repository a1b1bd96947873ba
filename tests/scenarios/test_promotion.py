"""A node that hears from no other is promoted by force alone, and that is remembered (R6, R11)."""

from __future__ import annotations

import pytest

from dkrepl.api.requests import Promote
from dkrepl.errors import Refused
from tests.lab.mirror import Lab, Wanted
from tests.lab.status import source_status


def test_a_promotion_is_refused_while_nobody_answers_and_done_by_force(lab: Lab) -> None:
    with lab.mirror(Wanted(min_copies=2)) as mirror:
        alpha, beta, gamma = mirror.alpha, mirror.beta, mirror.gamma
        with mirror.writing(alpha, mirror.area(1)) as load:
            beta.power_off()
            alpha.power_off()
        mirror.wait_missing_source(gamma)
        with pytest.raises(Refused, match="did not answer"):
            gamma.ask(Promote())
        outlook = gamma.ask(Promote(dry_run=True))
        assert (outlook["possible"], outlook["safe"]) == (True, False)
        assert "NoQuorum" in outlook["codes"]
        assert {one["node"] for one in outlook["not_answered"] if one["decides"]} == {"alpha", "beta"}

        mirror.take_over_by_force(gamma)
        warnings = source_status(gamma.status()).warnings
        assert any("promoted by force, against NoQuorum" in warning for warning in warnings)
        for node in (alpha, beta):
            node.power_on()
            mirror.wait_following(node, gamma)
        mirror.assert_equal_copies(gamma)
        assert not load.missing_on(gamma), "each write was on two nodes, and nobody had lost its copy"
