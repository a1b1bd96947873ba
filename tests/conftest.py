"""The fixtures of all tests on real daemons; see ``tests/integration/harness/fixtures.py``."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.lab", "tests.integration.harness")
pytest_plugins = ["tests.integration.harness.fixtures"]
