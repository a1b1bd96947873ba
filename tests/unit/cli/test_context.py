"""Which mirror a command means, and what is said if there is none."""

from __future__ import annotations

import pytest

from tests.unit.cli.fake_daemon import Cli


@pytest.mark.usefixtures("on_alpha")
@pytest.mark.parametrize("command", ["init", "run", "pause"])
def test_where_there_are_several_mirrors_one_has_to_be_named(cli: Cli, command: str) -> None:
    cli.describe("r0")
    cli.describe("r1")
    code, out, err = cli.run(command)
    assert (code, out) == (2, "")
    assert "name one: r0, r1" in err


def test_a_mirror_that_is_not_described_is_not_found(cli: Cli) -> None:
    cli.describe("r1")
    code, _, err = cli.run("status", "r0")
    assert code == 6
    assert f"no mirror r0 here ({cli.paths.etc} describes: r1)" in err


def test_a_name_that_leads_elsewhere_is_refused(cli: Cli) -> None:
    code, _, err = cli.run("status", "../r0")
    assert code == 2
    assert "'../r0' is not the name of a mirror" in err
