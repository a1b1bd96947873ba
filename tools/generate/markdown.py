"""Pieces of generated Markdown."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence


def page(title: str, source: str, *parts: str) -> str:
    """Return a page; ``source`` is the file that one edits instead."""
    head = f"<!-- Generated from {source} by `make generate`: edit that, not this. -->\n\n# {title}"
    return "\n\n".join([head, *parts]) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def anchor(heading: str) -> str:
    """Return where a link to a heading leads."""
    return "#" + heading.lower().replace(" ", "-").replace("`", "")


def doc(kind: type) -> str:
    """Return what the doc string of a class says."""
    return inspect.cleandoc(kind.__doc__ or "").replace("``", "`")
