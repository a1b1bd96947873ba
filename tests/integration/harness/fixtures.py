"""Clusters for tests: whatever a test leaves is taken away, whether it passed or not. A plugin of pytest."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness.cluster import Cluster
from tests.integration.harness.service_manager import ServiceManager

_live: list[Cluster] = []


class Clusters:
    """Makes clusters under one directory; ``close`` takes all of them away."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: list[Cluster] = []

    def make(self, start: bool = True, **options: Any) -> Cluster:
        """Return a new cluster, by default with every daemon started and every target in sync."""
        cluster = Cluster(self._directory / f"c{len(self._made)}", **options)
        self._made.append(cluster)
        _live.append(cluster)
        if start:
            cluster.start()
        return cluster

    def close(self) -> None:
        for cluster in self._made:
            _live.remove(cluster)
            cluster.close()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked ``root`` where it cannot be run, and say what is missing."""
    if item.get_closest_marker("root") is None:
        return
    if os.geteuid() != 0:
        pytest.skip("mounts file systems and attaches loop devices, so it must be run as root")
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not os.path.exists(device):
            pytest.skip(f"this host has no {device}: load the kernel's modules fuse and loop (modprobe)")


def _clusters(directory: Path) -> Iterator[Clusters]:
    made = Clusters(directory)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[Clusters]:
    yield from _clusters(tmp_path)


@pytest.fixture
def cluster(clusters: Clusters) -> Cluster:
    """A source, a synchronous target beta and an asynchronous target gamma, in sync."""
    return clusters.make()


@pytest.fixture(scope="module")
def module_clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    yield from _clusters(tmp_path_factory.mktemp("m"))


@pytest.fixture(scope="module")
def shared(module_clusters: Clusters) -> Cluster:
    """As ``cluster``, but one for all tests of a file, which leave it running and in sync."""
    return module_clusters.make()


@pytest.fixture
def manager(clusters: Clusters) -> Iterator[ServiceManager]:
    """A mirror as ``cluster``, whose source is started by a service manager that keeps its descriptors."""
    cluster = clusters.make(start=False)
    manager = ServiceManager(cluster.source)
    manager.cluster = cluster
    for node in cluster.targets:
        node.start(ready=False)
    manager.start()
    cluster.wait_in_sync()
    try:
        yield manager
    finally:
        cluster.source.clean()
        manager.close()


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Prints a line that is seen although the test passes: a seed, a figure."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n    {line}", end="", flush=True)

    return write


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for cluster in _live:
            report.sections += cluster.logs()
    return report
