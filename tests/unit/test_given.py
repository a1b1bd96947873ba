"""The search for names of events and codes sees every way in which the package gives one, or says that it does not."""

from __future__ import annotations

import ast

import pytest

from tests.unit.given import Given, given

BEFORE = 'Kind = Literal["A", "B"]\n\ndef told(): return "A" if now else "B"\ndef pair(): return "A", "a sentence"\n'


def found_in(body: str, place: str = "*.report", number: int = 0) -> Given:
    """Return what a file gives to the calls named, in a function with the lines of ``body``."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return given({place: number}, {"file.py": ast.parse(f"{BEFORE}def f(self, passed, kind: Kind):\n{lines}")})


@pytest.mark.parametrize(
    "body",
    [
        'self.out.report("A")\nself.out.report("B")',
        'self.out.report("A" if kind else "B")',
        'name = "A" if kind else "B"\nself.out.report(name)',
        'name = "A"\nif kind:\n    name = "B"\nself.out.report(name)',
        'name: str = "A"\nself.out.report(name)\nself.out.report(name="B")',
        'name, level = "A", "info"\nself.out.report(name)\nself.out.report("B", "warning")',
        "if (name := told()) is not None:\n    self.out.report(name)",
        "self.out.report(self.stall.told())",
        "self.out.report(kind)",
    ],
)
def test_both_names_are_seen(body: str) -> None:
    assert found_in(body) == Given({"A", "B"})


def test_a_name_is_seen_in_a_tuple_that_is_unpacked_into_the_arguments() -> None:
    body = "if (refusal := pair()) is not None:\n    self._targets.refuse(view, *refusal, now)"
    assert found_in(body, "targets.refuse", 1) == Given({"A"})


@pytest.mark.parametrize(
    ("body", "argument"),
    [
        ("self.out.report(passed)", "passed"),
        ('if kind:\n    passed = "A"\nself.out.report(passed)', "passed"),
        ("self.out.report(other.code)", "other.code"),
        ("for name in names:\n    self.out.report(name)", "name"),
        ('self.out.report("A" + kind)', "'A' + kind"),
        ("self.out.report()", "self.out.report()"),
    ],
)
def test_what_cannot_be_followed_is_said(body: str, argument: str) -> None:
    assert found_in(body).unknown == {("file.py", argument)}


def test_a_call_of_that_name_whose_value_is_used_is_another_function() -> None:
    assert found_in("return self.describe(self.report(passed))") == Given()
