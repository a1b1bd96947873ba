"""Settings for the tests with random input: the time an example takes says nothing, for the machine may be busy."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("dkrepl", deadline=None, print_blob=True)
settings.load_profile("dkrepl")
