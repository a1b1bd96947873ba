"""`dkrepl promote`: options that do not go together, and an answer that makes no sense."""

from __future__ import annotations

import pytest

from tests.unit.cli.fake_daemon import Cli


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--force"], "--force takes a token"),
        (["--dry-run", "--force", "0123abcd"], "--dry-run changes nothing and takes no token"),
    ],
)
def test_a_token_without_its_dry_run_or_with_one_is_refused_before_the_daemon_is_asked(
    cli: Cli, options: list[str], part: str
) -> None:
    fake = cli.daemon({"ok": {}})
    code, out, err = cli.run("promote", "r0", *options)
    assert (code, out) == (2, "")
    assert part in err
    assert fake.requests == []


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("answer", [{}, [], {"node": "beta"}, None], ids=str)
def test_a_dry_run_without_sense_is_refused(cli: Cli, answer: object, options: list[str]) -> None:
    cli.daemon({"ok": answer})
    assert cli.run("promote", "r0", "--dry-run", *options)[0] == 11
