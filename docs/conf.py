"""How Sphinx builds these pages: `make docs`. Plain Markdown, no network, every warning an error (see the Makefile)."""

from __future__ import annotations

project = "dkrepl"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True

# Headings down to the fourth level can be linked to as on GitHub: page.md#the-heading.
myst_heading_anchors = 4

html_theme = "furo"
html_title = "dkrepl"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
