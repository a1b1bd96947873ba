"""`dkrepl diverged`: of which mirrors, and what is said if there is nothing."""

from __future__ import annotations

import pytest

from tests.unit.cli.fake_daemon import Cli


@pytest.mark.parametrize(
    "command", [["list", "r0"], ["export", "x", "/x", "--mirror", "r0"], ["drop", "x", "--mirror", "r0"]]
)
def test_a_mirror_that_this_node_does_not_know_is_not_found(cli: Cli, command: list[str]) -> None:
    cli.describe("r1")
    code, out, err = cli.run("diverged", *command)
    assert (code, out) == (6, "")
    assert "no mirror r0 here" in err


@pytest.mark.parametrize("described", [True, False])
def test_of_a_mirror_that_is_described_or_was_here_once_nothing_may_be_saved(cli: Cli, described: bool) -> None:
    if described:
        cli.describe()
    else:
        cli.paths.state_dir("r0").mkdir(parents=True)
    assert cli.run("diverged", "list", "r0") == (0, "r0: nothing is saved on this node\n", "")


@pytest.mark.parametrize("name", ["x", "../r1/diverged/x", ""])
@pytest.mark.parametrize("command", [["export", "/nowhere/lost.img"], ["drop"]])
def test_what_is_not_saved_is_not_found(cli: Cli, command: list[str], name: str) -> None:
    cli.describe()
    code, out, err = cli.run("diverged", command[0], name, *command[1:])
    assert (code, out) == (6, "")
    assert err == f"dkrepl: no diverged blocks are saved under the name {name!r}; the names are: none\n"
