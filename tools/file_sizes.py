"""Whether every file stays small enough to be read at one go. ``python -m tools.file_sizes``, in the checkout."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

LONGEST = 500  # lines of any Python file
MEDIAN = 150  # lines of the files of the package


def complaints(lines: dict[str, int]) -> list[str]:
    """Return a sentence for each thing wrong; ``lines``: how many each file has, by its path in the checkout."""
    found = [
        f"{path} has {count} lines, and {LONGEST} are the most: split it by the questions that it answers"
        for path, count in sorted(lines.items())
        if count > LONGEST
    ]
    # A file that only marks a package, or leads its reader to others, says nothing about the size of files.
    package = [
        count for path, count in lines.items() if path.startswith("dkrepl/") and not path.endswith("__init__.py")
    ]
    if (median := statistics.median(package)) >= MEDIAN:
        found.append(f"half of the files of dkrepl have {median:g} lines or more; less than {MEDIAN} is the aim")
    return found


def main() -> int:
    """Print what is wrong; return the exit code."""
    command = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py")
    paths = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = complaints({path: len(Path(path).read_bytes().splitlines()) for path in paths if Path(path).exists()})
    print("\n".join(found), end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
