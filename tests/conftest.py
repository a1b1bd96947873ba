"""The fixtures of all tests on real daemons; see ``tests/integration/harness/fixtures.py``."""

from __future__ import annotations

pytest_plugins = ["tests.integration.harness.fixtures"]
