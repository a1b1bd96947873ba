"""Draws what ``make demo`` printed as a terminal, for the README.

    make demo | tee .cache/demo.txt
    .venv/bin/python -m demo.picture .cache/demo.txt docs/img/demo.svg

The picture refers to nothing on the network: its text is set in whatever monospaced font the reader has.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 118
STYLES = {
    r"\b(InSync|Serving|equal)\b": "green",
    r"\b(Resyncing|Connecting|Behind)\b": "yellow",
    r"\b(Disconnected|Refused)\b": "red",
    r"\$ .*": "cyan",
    r"^ {3}\d+ s$": "bright_black",
}
SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>What make demo prints</title>
<style>
.{unique_id}-matrix {{ font: {char_height}px/{line_height}px "DejaVu Sans Mono", Menlo, Consolas, monospace; }}
.{unique_id}-title {{ font: bold 18px system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def draw(printed: str, title: str) -> str:
    """Return the SVG of a terminal that shows ``printed``."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in printed.rstrip().splitlines():
        text = Text(line, style="bold" if line and not line.startswith(" ") else "")
        for pattern, style in STYLES.items():
            text.highlight_regex(re.compile(pattern), style)
        console.print(text, soft_wrap=False)
    return console.export_svg(title=title, code_format=SVG, unique_id="demo")


def main(arguments: list[str]) -> int:
    """Read what was printed from the first file, write the picture to the second."""
    if len(arguments) != 2:
        print("usage: python -m demo.picture PRINTED.txt PICTURE.svg", file=sys.stderr)
        return 2
    printed, picture = map(Path, arguments)
    # What make itself says, before the first chapter, is left out.
    text = printed.read_text()
    begins = text.find("Three nodes:")
    picture.write_text(draw(text[max(begins, 0) :], "make demo"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
