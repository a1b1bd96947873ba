"""The node's key pair: made once, open to root alone, never printed, replaced in one step."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from dkrepl.config import public_key
from dkrepl.errors import NodeKeyError, Refused
from dkrepl.io.state import node_keys
from tests.unit.cli.fake_daemon import Cli


def secret_of(cli: Cli, name: str = node_keys.CURRENT) -> str:
    return (cli.paths.keys / name).read_text().strip()


def test_a_key_is_made_for_root_alone_and_its_public_part_is_printed(cli: Cli) -> None:
    code, out, err = cli.run("key", "generate")
    assert (code, err) == (0, "")
    assert len(public_key.read(out.strip())) == 32
    assert stat.S_IMODE((cli.paths.keys / "node.secret").stat().st_mode) == 0o600
    assert stat.S_IMODE(cli.paths.keys.stat().st_mode) == 0o700
    assert list(cli.paths.keys.iterdir()) == [cli.paths.keys / "node.secret"]
    assert cli.run("key", "show") == (0, out, "")
    assert json.loads(cli.run("key", "show", "--json")[1]) == {"public_key": out.strip()}


def test_a_key_that_is_there_is_never_replaced_by_generate(cli: Cli) -> None:
    cli.run("key", "generate")
    secret = secret_of(cli)
    code, out, err = cli.run("key", "generate")
    assert (code, out) == (5, "")
    assert "is there already" in err
    assert secret_of(cli) == secret
    assert [path.name for path in cli.paths.keys.iterdir()] == ["node.secret"]


def test_the_next_key_takes_the_place_of_the_present_one(cli: Cli) -> None:
    first = cli.run("key", "generate")[1]
    second = cli.run("key", "generate", "--next")[1]
    assert first != second
    assert cli.run("key", "show")[1] == first
    assert cli.run("key", "show", "--next")[1] == second
    assert cli.run("key", "replace") == (0, second, "")
    assert cli.run("key", "show")[1] == second
    code, _, err = cli.run("key", "replace")
    assert code == 13
    assert "`dkrepl key generate --next`" in err


def test_a_node_without_a_key_is_told_what_to_do(cli: Cli) -> None:
    code, out, err = cli.run("key", "show")
    assert (code, out) == (13, "")
    assert "run `dkrepl key generate` as root" in err


@pytest.mark.parametrize("content", ["", "QUFB", "A" * 43, "\xff" * 44, "A" * 5000])
def test_a_damaged_key_is_refused_and_not_shown(cli: Cli, content: str) -> None:
    cli.run("key", "generate")
    (cli.paths.keys / "node.secret").write_text(content, encoding="latin-1")
    code, _, err = cli.run("key", "show")
    assert code == 13
    assert "holds no secret key" in err
    assert not content or content not in err


def test_a_key_that_others_may_read_is_refused(cli: Cli) -> None:
    cli.run("key", "generate")
    (cli.paths.keys / "node.secret").chmod(0o640)
    code, _, err = cli.run("key", "show")
    assert code == 13
    assert "mode 0640" in err
    assert "chmod 0600" in err


def test_what_the_service_manager_hands_over_is_used_instead_of_the_file(cli: Cli, tmp_path: Path) -> None:
    node_keys.generate(cli.paths)
    handed = tmp_path / "credentials"
    handed.mkdir()
    environ = {"CREDENTIALS_DIRECTORY": str(handed)}
    credential = handed / node_keys.CREDENTIAL
    other = node_keys.generate(cli.paths, node_keys.NEXT)
    credential.write_text(secret_of(cli, node_keys.NEXT))
    credential.chmod(0o400)
    assert node_keys.load(cli.paths, environ) == other
    assert node_keys.load(cli.paths, {}) != other
    credential.chmod(0o600)
    credential.write_text("none")  # the unit's default
    assert node_keys.load(cli.paths, environ) == node_keys.load(cli.paths, {})
    credential.unlink()
    assert node_keys.load(cli.paths, environ) == node_keys.load(cli.paths, {})
    (cli.paths.keys / node_keys.CURRENT).unlink()
    with pytest.raises(NodeKeyError, match="no secret key"):
        node_keys.load(cli.paths, environ)


def test_a_secret_is_not_in_what_is_printed_of_a_pair(cli: Cli) -> None:
    keys = node_keys.generate(cli.paths)
    assert secret_of(cli) == public_key.write(keys.secret)
    assert repr(keys.secret) not in repr(keys)
    with pytest.raises(Refused):
        node_keys.generate(cli.paths)
