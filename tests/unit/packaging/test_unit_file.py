"""The systemd unit: how much of the host it leaves open, by systemd's own measure."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[3] / "packaging" / "dkrepl@.service"
MOST = 4.0


def test_the_unit_is_exposed_no_more_than_said(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed, which measures how much of the host the unit leaves open")
    unit = tmp_path / "dkrepl@r0.service"
    unit.write_text(UNIT.read_text())
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST * 10:.0f}", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout[-100:] + done.stderr
    assert "ignoring" not in done.stderr, "a line that systemd does not understand protects nobody"


def test_the_secret_key_is_handed_over_as_a_credential() -> None:
    lines = UNIT.read_text().splitlines()
    assert "LoadCredential=dkrepl.secret:/etc/dkrepl/keys/node.secret" in lines
    assert "KeyringMode=private" in lines
