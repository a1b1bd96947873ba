"""``make demo-down``: removes the containers, network, loop devices and image of the demo."""

from __future__ import annotations

import shutil
import sys

from demo import nodes
from demo.labs import LABS
from demo.shell import exit_code_of


def main() -> int:
    """Remove the lab of the demo; return 1 with one sentence where that fails."""
    if shutil.which("podman", path="/usr/bin:/bin:/usr/local/bin") is None:
        print("There is no podman on this host, so there is nothing of the demo either.")
        return 0
    if code := exit_code_of(lambda: nodes.down(LABS["demo"], with_image=True)):
        return code
    print(
        "The demo is gone: its containers, network, loop devices and image."
        " .cache keeps what makes the next one quick; 'make clean' removes that, too."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
