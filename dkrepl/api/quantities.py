"""Numbers with their units: the type of a field says what it counts, and so does the reference made from it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

UNIT = "x-unit"
"""The key of JSON Schema under which the unit stands."""

Bytes = Annotated[int, Meta(extra_json_schema={UNIT: "bytes"})]
BytesPerSecond = Annotated[float, Meta(extra_json_schema={UNIT: "bytes per second"})]
Seconds = Annotated[float, Meta(extra_json_schema={UNIT: "seconds"})]
UnixTime = Annotated[float, Meta(extra_json_schema={UNIT: "Unix time, seconds"})]
Percent = Annotated[float, Meta(extra_json_schema={UNIT: "percent, 0 to 100"})]
