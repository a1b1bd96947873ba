"""`dkrepl config`: an example to begin with, and what a check says of a description."""

from __future__ import annotations

import json

import pytest

from tests.unit.cli.fake_daemon import Cli, with_keys


@pytest.mark.usefixtures("elsewhere")
def test_the_example_lacks_the_keys_and_then_passes_the_check(cli: Cli) -> None:
    code, out, _ = cli.run("config", "example")
    assert code == 0
    (cli.paths.etc / "r0.toml").write_text(out)
    code, _, err = cli.run("config", "check", "r0")
    assert code == 3
    assert 'node "alpha" has no public_key' in err
    assert "`dkrepl key generate` on alpha" in err
    (cli.paths.etc / "r0.toml").write_text(with_keys(out))
    expected = "r0: OK, 1 GiB, from alpha to beta (sync), gamma (async); this host is not one of its nodes\n"
    for arguments in ([], ["r0"], [str(cli.paths.etc / "r0.toml")]):
        assert cli.run("config", "check", *arguments) == (0, expected, "")


@pytest.mark.usefixtures("on_alpha")
def test_json_gives_the_whole_description_and_who_is_here(cli: Cli) -> None:
    cli.describe()
    (entry,) = json.loads(cli.run("config", "check", "--json")[1])["mirrors"]
    assert (entry["mirror"], entry["here"]) == ("r0", "alpha")
    assert entry["description"]["nodes"][2]["on_full"] == "bitmap"


def test_a_mistake_is_one_sentence_and_code_3(cli: Cli) -> None:
    cli.paths.description("r0").write_text('name = "r0"\nsize = "64KB"\n')
    code, out, err = cli.run("config", "check", "r0")
    assert (code, out) == (3, "")
    assert err.startswith('dkrepl: r0.toml: size is "64KB", but it must be a size')
    assert err.count("\n") == 1
    failure = json.loads(cli.run("config", "check", "r0", "--json")[1])["error"]
    assert (failure["code"], failure["name"]) == (3, "DescriptionError")


@pytest.mark.usefixtures("elsewhere")
def test_a_file_of_any_name_is_checked_as_a_mirror_of_a_given_name(cli: Cli) -> None:
    cli.describe()
    odd = cli.paths.etc / "upload.tmp"
    cli.paths.description("r0").rename(odd)
    assert cli.run("config", "check", "--as", "r0", str(odd))[0] == 0
    code, _, err = cli.run("config", "check", "--as", "r1", str(odd))
    assert code == 3
    assert 'name is "r0"' in err
    assert cli.run("config", "check", "--as", "r0")[0] == 2


def test_a_node_that_does_not_exist_is_refused_with_those_that_do(cli: Cli) -> None:
    cli.describe()
    code, _, err = cli.run("config", "check", "r0", "--node", "delta")
    assert code == 6
    assert "its nodes are alpha, beta, gamma" in err
