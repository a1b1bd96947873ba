"""What the tests of all scenarios ask of the nodes, and do to them."""

import pytest

pytest.register_assert_rewrite("support.nodes", "tests.lab", "tests.scenarios")
