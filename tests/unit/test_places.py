"""A test lies where the file lies that it is about: tests/unit/<room>/test_<file>.py for dkrepl/<room>/<file>.py."""

from __future__ import annotations

from pathlib import Path

import pytest

UNIT = Path(__file__).parent
ROOT = UNIT.parents[1]
OF_THE_PACKAGE = [path for room in (ROOT / "dkrepl").iterdir() for path in (UNIT / room.name).rglob("test_*.py")]
OF_ALL_OF_CORE = UNIT / "core" / "test_scale.py"  # what is done in the loop, wherever in core that is


@pytest.mark.parametrize("test", OF_THE_PACKAGE, ids=lambda path: str(path.relative_to(UNIT)))
def test_the_file_that_a_test_is_about_is_found_by_its_name(test: Path) -> None:
    """Two files may be about one: ``test_bitmap_pieces.py`` is about ``bitmap.py``, too."""
    if test == OF_ALL_OF_CORE:
        return
    words = test.stem.removeprefix("test_").split("_")
    room = ROOT / "dkrepl" / test.parent.relative_to(UNIT)
    names = ["_".join(words[:end]) for end in range(len(words), 0, -1)]
    assert any((room / f"{name}.py").exists() for name in names), f"{room} has none of {names}"
