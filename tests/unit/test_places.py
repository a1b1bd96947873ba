"""A test lies where the file lies that it is about: tests/unit/<room>/test_<file>.py for dkrepl/<room>/<file>.py."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

UNIT = Path(__file__).parent
ROOT = UNIT.parents[1]
TESTS = sorted(UNIT.rglob("test_*.py"))
# What is not about one file of the package: the repository, what is shipped beside the package, and all of the core.
OF_THE_REPOSITORY = {UNIT / "test_places.py", UNIT / "test_documents.py"}
BESIDE = {UNIT / "packaging": ROOT / "packaging", UNIT / "lab": ROOT / "tests" / "lab"}
OF_ALL_OF_CORE = UNIT / "core" / "test_scale.py"

each = pytest.mark.parametrize("test", TESTS, ids=lambda path: str(path.relative_to(UNIT)))


def room(test: Path) -> Path:
    """Return the folder of the files that a test is about."""
    return BESIDE.get(test.parent, ROOT / "dkrepl" / test.parent.relative_to(UNIT))


@each
def test_the_file_that_a_test_is_about_is_found_by_its_name(test: Path) -> None:
    """Two files may be about one: ``test_bitmap_pieces.py`` is about ``bitmap.py``, too.

    What tests begin with may have a test beside it.
    """
    if test in OF_THE_REPOSITORY or test == OF_ALL_OF_CORE:
        return
    assert room(test).is_dir(), f"{test} is about a room that there is not"
    if room(test) == ROOT / "packaging":
        return
    words = test.stem.removeprefix("test_").split("_")
    names = ["_".join(words[:end]) for end in range(len(words), 0, -1)]
    places = room(test), test.parent
    assert any((place / f"{name}.py").exists() for place in places for name in names), f"no file is one of {names}"


@each
def test_what_several_tests_begin_with_is_in_a_file_of_its_own(test: Path) -> None:
    """A test that is looked for in one file must not depend on what another one happens to hold."""
    modules = [node.module for node in ast.walk(ast.parse(test.read_text())) if isinstance(node, ast.ImportFrom)]
    assert not [module for module in modules if module and module.rpartition(".")[2].startswith("test_")]
