"""The limits in force fit what the protocol and the file formats allow."""

from __future__ import annotations

from dataclasses import fields

import pytest

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.intent import activity_record
from dkrepl.core.protocol import frames, messages
from tests.simulation.settings import LIMITS

BOTH = pytest.mark.parametrize("limits", [DEFAULT, LIMITS], ids=["real", "simulated"])


@BOTH
def test_what_is_sent_fits_into_a_message(limits: Limits) -> None:
    assert limits.message_records <= frames.MAX_RECORDS
    assert limits.resync_message_bytes <= frames.MAX_DATA
    assert limits.verify_bytes <= frames.MAX_DATA
    assert limits.bitmap_part_bytes <= messages.BITMAP_PART_BYTES
    assert limits.zero_record_bytes < 1 << 32, "a record has 4 bytes for its length"
    assert limits.generations <= 64, "a Hello names no more"


@BOTH
def test_what_is_recorded_fits_into_its_file(limits: Limits) -> None:
    assert limits.active_extents <= activity_record.CAPACITY


@BOTH
def test_none_is_zero_or_less(limits: Limits) -> None:
    assert not [field.name for field in fields(limits) if getattr(limits, field.name) <= 0]


@pytest.mark.parametrize("writes", [0, 3, 4096])
def test_a_write_log_that_could_not_work_is_refused(writes: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Limits(logged_writes=writes)
