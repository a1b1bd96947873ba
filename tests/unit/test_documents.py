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
    return [node for file in (ROOT / "dkrepl").rglob("*.py") for node in ast.walk(ast.parse(file.read_text()))]


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


def called(*functions: str, argument: int = 0) -> set[str]:
    """Return the fixed texts that calls of these functions are given in one place."""
    found = set()
    for node in nodes():
        if isinstance(node, ast.Call) and len(node.args) > argument:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            value = node.args[argument]
            if name in functions and isinstance(value, ast.Constant) and isinstance(value.value, str):
                found.add(value.value)
    return found


def documented(page: str) -> set[str]:
    """Return the names in the first column of a page's tables."""
    found: set[str] = set()
    for line in (DOCS / page).read_text().splitlines():
        if line.startswith("| `"):
            found.update(re.findall(r"`(\w+)`", line.split("|")[1]))
    return found


def test_the_events_are_all_documented_and_none_else() -> None:
    names = documented("reference/events.md")
    assert called("report", "_event", "_report") <= names
    assert names <= set(constants())


def test_the_codes_are_all_documented() -> None:
    codes = called("evict", "Evict", "Decision", argument=1) | called(
        "trouble", "Reason", "Refuse", "refuse", "Verdict"
    )
    assert codes - {"", "UsageError"} <= documented("reference/codes.md") | {"resumed"}


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
