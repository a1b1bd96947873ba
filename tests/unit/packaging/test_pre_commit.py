"""What is checked before a commit is what `make lint` checks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
HOOKS: list[dict[str, Any]] = [
    hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]
]


def test_every_part_of_make_lint_is_a_hook_and_none_else() -> None:
    found = re.search(r"^lint: (.*?) +##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found is not None
    assert {hook["entry"] for hook in HOOKS} == {f"make {part}" for part in found[1].split()}


@pytest.mark.parametrize(
    ("hook", "paths"),
    [
        ("python", ["dkrepl/errors.py", "tests/conftest.py", "packaging/make-man", "pyproject.toml"]),
        ("house", ["dkrepl/errors.py", "docs/index.md", ".importlinter", "README.md"]),
        ("generated", ["dkrepl/errors.py", "docs/reference/status.md"]),
        ("ansible", ["roles/dkrepl_mirror/defaults/main.yml", "ansible/check_specs.py", ".ansible-lint", ".yamllint"]),
        ("shell", ["packaging/host-packages", ".ci/run"]),
    ],
)
def test_a_hook_runs_if_a_file_was_changed_that_it_looks_at(hook: str, paths: list[str]) -> None:
    [found] = [one for one in HOOKS if one["id"] == hook]
    for path in (*paths, "Makefile"):
        assert (ROOT / path).exists()
        assert re.search(found.get("files", ""), path), path
    assert not {"types", "types_or", "exclude", "stages"} & found.keys(), "what else leaves it out"
