"""The documentation agrees with the repository: links lead somewhere, and what pages quote is in the code.

Links between pages of ``docs`` are checked by ``make docs``.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.given import given, package

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TEXT = {".md", ".py", ".yml", ".service", ".j2", ".toml", ""}
SHORT = 8  # characters; a shorter piece of a quotation says nothing


def tracked() -> list[Path]:
    """Return the files of the repository that are text."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [ROOT / name for name in listed.splitlines()]
    return [file for file in files if file.suffix in TEXT and file.is_file()]


def outside() -> list[Path]:
    """Return the Markdown files that Sphinx does not see."""
    return [file for file in tracked() if file.suffix == ".md" and DOCS not in file.parents]


def anchors(page: Path) -> set[str]:
    """Return what a link can name in a page: its headings, as GitHub makes identifiers of them."""
    found = set()
    for line in page.read_text().splitlines():
        if match := re.match(r"#{1,6} (.*)", line):
            plain = re.sub(r"[^\w\- ]", "", match[1].lower())
            found.add(plain.strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("file", outside(), ids=lambda file: str(file.relative_to(ROOT)))
def test_every_link_from_outside_the_documentation_leads_to_a_heading_that_exists(file: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", file.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        page = (file.parent / path).resolve() if path else file
        assert page.exists(), f"{file.name} links to {target}"
        assert not anchor or anchor in anchors(page), f"{file.name} links to {target}, which has no such heading"


def test_every_document_that_a_file_names_exists() -> None:
    for file in tracked():
        for name in re.findall(r"\bdocs/[\w./-]+\.md\b", file.read_text(errors="replace")):
            assert (ROOT / name).exists(), f"{file.relative_to(ROOT)} names {name}"


@functools.cache
def nodes() -> list[ast.AST]:
    """Return the syntax trees of the package, node by node."""
    return [node for tree in package().values() for node in ast.walk(tree)]


def constants() -> Iterator[str]:
    """Yield the text of every string in the package, the fixed parts of f-strings among them."""
    for node in nodes():
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def quoted() -> list[tuple[str, str]]:
    """Return (page, quotation) of every sentence of the daemon that a runbook tells its reader to look for.

    Those are the code spans with a space in the first column of a table; "..." stands for what varies.
    """
    found = []
    for page in sorted((DOCS / "runbooks").glob("*.md")):
        for line in page.read_text().splitlines():
            first = line.strip("| ").split(" | ")[0] if line.lstrip().startswith("| ") else ""
            found += [(page.name, span) for span in re.findall(r"`([^`]+)`", first) if " " in span]
    return found


NAMES = re.compile(r"\b(alpha|beta|gamma|r0|NAME|N|dkrepl: )\b|/\S+|\b\d\S*")


def test_what_runbooks_quote_is_what_the_daemon_says() -> None:
    said = "\0".join(constants())
    wrong = []
    for page, quotation in quoted():
        pieces = [(piece or "").strip(" ;:,()`'\"") for piece in re.split(r"\.\.\.|" + NAMES.pattern, quotation)]
        wrong += [f"{page}: {quotation}" for piece in pieces if len(piece) >= SHORT and piece not in said]
    assert not wrong


EVENTS = {"*.report": 0, "*._report": 0, "report": 0, "Event": 0, "act.Event": 0}
REFUSALS = {"targets.refuse": 1, "Refuse": 0, "messages.Refuse": 0, "Decision": 1, "Objection": 0}
LEAVING = {"*.evict": 1, "Evict": 1, "*.trouble": 0, "Trouble": 1, "Verdict": 0, "Objection": 0}
PASSED_ON = {
    "name": ("core/node.py", "core/outbox.py", "core/target/following.py"),  # by report, which is looked at itself
    "action.name": (
        "daemon/peers/arbitration_runtime.py",
        "daemon/roles.py",
        "daemon/source/runtime.py",
        "daemon/target/runtime.py",
    ),  # of Event
    "code": ("core/source/targets.py", "core/target/following.py"),  # by evict, refuse and trouble
    "decision.code": ("core/source/entering.py",),  # of Decision
    "found.code": ("core/source/source.py", "core/target/joining.py"),  # of Verdict; of Objection
    "message.code": ("core/source/source.py",),  # of Trouble
}
"""What is given to a function without its text, because the text was given to another one before; and where."""


def texts(places: dict[str, int]) -> set[str]:
    """Return the names that the package gives to these functions, all of which must be seen."""
    found = given(places, {file: tree for file, tree in package().items() if file != "core/states.py"})
    assert not {(file, value) for file, value in found.unknown if file not in PASSED_ON.get(value, ())}
    return found.texts - {""}


def documented(page: str, *sections: str) -> set[str]:
    """Return the names in the first column of the tables of a page, or of some of its sections."""
    found: set[str] = set()
    for section in re.split(r"^## ", (DOCS / page).read_text(), flags=re.MULTILINE):
        title, _, text = section.partition("\n")
        for line in text.splitlines() if title in sections or not sections else ():
            if line.startswith("| `"):
                found.update(re.findall(r"`(\w+)`", line.split("|")[1]))
    return found


def test_the_events_are_all_documented_and_none_else() -> None:
    assert documented("reference/events.md") == texts(EVENTS)


def test_the_codes_are_all_documented_and_none_else() -> None:
    page = "reference/codes.md"
    assert documented(page, "Refusals", "How a target joins") == texts(REFUSALS)
    assert documented(page, "Leaving the stream") == texts(LEAVING)
    assert documented(page, "Promotion") == texts({"Reason": 0})
    assert documented(page, "Peers") == texts({"access.refuse": 0})


FOLDERS = ("", "dkrepl", "tests/integration", "ansible", "docs/internals")
NAMED = re.compile(r"`([\w./-]+\.(?:py|md|yml|service))(?:: ([\w, ]+))?`")


def named() -> list[tuple[str, str, list[str]]]:
    """Return (page, file, names in it) of every file that an internal page names."""
    found = []
    for page in sorted((DOCS / "internals").glob("*.md")):
        for file, names in NAMED.findall(page.read_text()):
            found.append((page.name, file, [name.strip() for name in names.split(",") if name.strip()]))
    return found


def test_the_files_and_functions_that_internal_pages_name_exist() -> None:
    wrong = []
    for page, name, functions in named():
        files = [ROOT / folder / name for folder in FOLDERS if (ROOT / folder / name).is_file()]
        text = files[0].read_text() if files else ""
        wrong += [f"{page}: {name}: {one}" for one in functions if not re.search(rf"\b{one}\b", text)]
        wrong += [] if files or name == "molecule.yml" else [f"{page}: {name}"]
    assert not wrong


def mutations() -> set[tuple[str, str]]:
    """Return (rule, name) of every broken copy that the simulator must catch."""
    text = (ROOT / "tests/simulation/test_mutations.py").read_text()
    listed = text.partition("\nMUTATIONS: ")[2].partition("\n]\n")[0]
    return set(re.findall(r'\("(\w+)", (\w+)\)', listed))


def test_every_mutation_is_listed_with_its_rule() -> None:
    listed = set()
    for section in re.split(r"^## ", (DOCS / "internals/rules.md").read_text(), flags=re.MULTILINE)[1:]:
        rule = section.partition("\n")[0].partition(":")[0].replace("Liveness", "liveness")
        names = section.partition("\nMutations: ")[2]
        listed |= {(rule, name) for name in re.findall(r"`(\w+)`", names)}
    assert listed == mutations()
