"""The source's daemon dies 60 times in a row, and is upgraded 10 times, under a load: pauses, and no error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.harness.kills import kill_again_and_again
from tests.integration.harness.service_manager import ServiceManager
from tests.integration.harness.upgrades import Releases, upgrade_again_and_again
from tests.lab.seeds import seed_for

pytestmark = [pytest.mark.root, pytest.mark.timeout(1200)]

KILLS = 60
UPGRADES = 10


def test_sixty_kills_in_a_row_are_pauses_and_no_application_gets_an_error(
    manager: ServiceManager, tmp_path: Path, request: pytest.FixtureRequest, say: Callable[[str], None]
) -> None:
    seed = seed_for(request.node.nodeid, say)
    say(f"kills: {kill_again_and_again(manager, KILLS, seed, tmp_path / 'load')}")


def test_ten_upgrades_of_the_package_are_pauses_and_no_application_gets_an_error(
    manager: ServiceManager, tmp_path: Path, say: Callable[[str], None]
) -> None:
    releases = Releases(tmp_path / "releases")
    say(f"upgrades: {upgrade_again_and_again(manager, releases, UPGRADES, tmp_path / 'load')}")
