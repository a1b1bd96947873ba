"""`dkrepl init`: what is refused before anything is touched."""

from __future__ import annotations

import pytest

from tests.unit.cli.fake_daemon import Cli


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("command", ["init", "run"])
def test_a_host_that_is_no_node_can_neither_init_nor_run(cli: Cli, command: str) -> None:
    cli.describe()
    code, _, err = cli.run(command, "r0")
    assert code == 6
    assert 'no node named like this host ("laptop")' in err
    assert "--node" in err
    assert list(cli.paths.state.iterdir()) == []


@pytest.mark.usefixtures("on_alpha")
def test_keeping_and_overwriting_contradict_each_other(cli: Cli) -> None:
    cli.describe()
    code, _, err = cli.run("init", "r0", "--keep-data", "--overwrite-data")
    assert code == 2
    assert "contradict" in err
