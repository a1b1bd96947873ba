"""Installs other builds of the package and restarts the daemons into them, under a load that compares what it reads."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from tests.integration.harness.applications import run
from tests.integration.harness.kills import Pauses, verified
from tests.integration.harness.node import ROOT, Node
from tests.integration.harness.service_manager import ServiceManager, path_with_systemctl

_VERSIONS = ("0.1.0+one", "0.1.0+two")
_PARTS = ("pyproject.toml", "README.md", "LICENSE", "dkrepl")


class Releases:
    """Wheels of two versions of the package, each in its turn installed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._wheels = {version: self._build(version) for version in _VERSIONS}
        self._installed = 0
        self.current = directory / "nothing"

    def _build(self, version: str) -> Path:
        source, out = self._directory / f"source-{version}", self._directory / f"wheel-{version}"
        source.mkdir(parents=True)
        for part in _PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / part, source / part)
        for file in ("pyproject.toml", "dkrepl/__init__.py"):
            text = (source / file).read_text()
            assert '"0.1.0"' in text, f"{file} has another version"
            (source / file).write_text(text.replace('"0.1.0"', f'"{version}"'))
        run(*_PIP, "wheel", "--no-deps", "--wheel-dir", out, source, seconds=300)
        (wheel,) = out.glob("dkrepl-*.whl")
        return wheel

    def install(self) -> str:
        """Install the version that is not current: over the old one, or, every other time, beside it."""
        version = _VERSIONS[self._installed % 2]
        if self._installed % 4 in (0, 2):
            self.current = self._directory / f"release-{self._installed}"
        run(*_PIP, "install", "--no-deps", "--upgrade", "--target", self.current, self._wheels[version], seconds=300)
        self._installed += 1
        return version


_PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")


def upgrade_again_and_again(manager: ServiceManager, releases: Releases, upgrades: int, directory: Path) -> Pauses:
    """Upgrade every node ``upgrades`` times: the targets, then the source, whose device goes on being used."""
    cluster = manager.cluster
    restarting = {
        "PATH": path_with_systemctl(directory.with_name("bin"), "7 dkrepl@r0.service restart running"),
        "DKREPL_UNIT": "dkrepl@r0.service",
    }
    cluster.source.kill()
    manager.start(True, **restarting)
    cluster.wait_in_sync()
    moments = []
    with verified(cluster, directory) as load:
        for _ in range(upgrades):
            load.keep_going()
            version = releases.install()
            for node in cluster.targets:
                assert node.stop() == 0
                node.code = releases.current
                node.start()
                _assert_runs(node, version)
            cluster.wait_in_sync()
            load.keep_going()
            moments.append(time.time())
            assert cluster.source.stop() == 0
            cluster.source.code = releases.current
            manager.start(True, **restarting)
            _assert_runs(cluster.source, version)
            cluster.wait_in_sync()
    assert len(cluster.source.logged("device_handed_over")) == upgrades
    return Pauses.of(moments, load.requests())


def _assert_runs(node: Node, version: str) -> None:
    where = Path(os.readlink(f"/proc/{node.pid}/cwd"))
    text = (where / "dkrepl" / "__init__.py").read_text()
    assert f'"{version}"' in text, f"{node.name} runs something else from {where}"
