"""Runs a playbook of ansible/ on the nodes, as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])


def playbook(name: str, *arguments: str, seconds: float = 400) -> subprocess.CompletedProcess[str]:
    """Run ``ansible/<name>`` to its end; what it printed is in the answer."""
    return subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "--inventory=molecule/shared/inventory",
            f"ansible/{name}",
            *arguments,
        ],
        cwd=PROJECT,
        env=dict(os.environ, ANSIBLE_CONFIG=str(PROJECT / "ansible.cfg"), ANSIBLE_NOCOLOR="1", ANSIBLE_FORCE_COLOR="0"),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def changed(done: subprocess.CompletedProcess[str]) -> int:
    """How many tasks changed something, on all nodes."""
    recap = done.stdout.partition("PLAY RECAP")[2]
    return sum(int(word.removeprefix("changed=")) for word in recap.split() if word.startswith("changed="))
