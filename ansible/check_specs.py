"""Checks that the defaults of every role and its argument specification say the same.

A default that is missing on one side, or differs, misleads a reader of only one of the two files.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

NO_DEFAULT = object()


def read(path: Path) -> Any:
    """Return the content of a YAML file, or an empty mapping where there is none."""
    return yaml.safe_load(path.read_text()) or {} if path.exists() else {}


def differences(role: Path) -> list[str]:
    """Return one sentence for each variable on which the two files of a role disagree."""
    defaults = read(role / "defaults/main.yml")
    specs = read(role / "meta/argument_specs.yml")
    options = specs.get("argument_specs", {}).get("main", {}).get("options")
    if options is None:
        return [f"{role.name}: meta/argument_specs.yml has no argument_specs.main.options"]
    found = []
    for name in sorted(defaults.keys() | options.keys()):
        stated = options.get(name, {}).get("default", NO_DEFAULT)
        if name not in options:
            found.append(f"{role.name}: {name} has a default but no argument specification")
        elif name in defaults and stated is NO_DEFAULT:
            found.append(f"{role.name}: {name} has a default, its argument specification states none")
        elif name in defaults and stated != defaults[name]:
            found.append(f"{role.name}: {name} defaults to {defaults[name]!r}, the specification says {stated!r}")
        elif name not in defaults and stated is not NO_DEFAULT:
            found.append(f"{role.name}: {name} has a specified default that defaults/main.yml does not set")
        elif name not in defaults and not options[name].get("required", False):
            found.append(f"{role.name}: {name} is neither required nor has a default")
    return found


def main() -> int:
    """Print what differs, over all roles; return 1 if anything does."""
    roles = sorted(path for path in (Path(__file__).parent.parent / "roles").iterdir() if path.is_dir())
    found = [sentence for role in roles for sentence in differences(role)]
    print("\n".join(found) if found else f"{len(roles)} roles: defaults and argument specifications agree")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
