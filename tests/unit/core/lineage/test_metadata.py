"""A node's record: read back as written, and anything else is a MetadataError (R9)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_hexdigest

from dkrepl.config.limits import DEFAULT
from dkrepl.core.lineage import metadata
from dkrepl.core.lineage.metadata import NodeMetadata, PeerRecord
from dkrepl.errors import MetadataError
from tests.unit.records import record

RECORD = record(
    size=1 << 30,
    block=65536,
    extent=4 << 20,
    generation="g2",
    history=("g1", "g0"),
    epoch=3,
    follows="beta",
    boot="b",
    peers={"beta": PeerRecord(epoch=4, offered=5, generations=("g1", "g2"), paused=True)},
)


def under_a_checksum(body: bytes) -> bytes:
    return xxh3_64_hexdigest(body).encode() + b"\n" + body


def test_a_record_is_read_back() -> None:
    assert metadata.parse(metadata.pack(RECORD), "here") == RECORD


def test_a_flipped_bit_or_a_missing_end_is_said() -> None:
    whole = metadata.pack(RECORD)
    for bit in range(0, 8 * len(whole), 7):
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MetadataError, match="fails its checksum"):
            metadata.parse(bytes(broken), "here")
    for length in range(0, len(whole), 11):
        with pytest.raises(MetadataError):
            metadata.parse(whole[:length], "here")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_metadata_error(content: bytes) -> None:
    with pytest.raises(MetadataError):
        metadata.parse(content, "here")


@given(st.binary(max_size=300))
def test_any_body_under_a_right_checksum_is_a_metadata_error(body: bytes) -> None:
    with pytest.raises(MetadataError):
        metadata.parse(under_a_checksum(body), "here")


_values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
_json = st.recursive(
    _values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner), max_leaves=6
)


@given(st.dictionaries(st.sampled_from([*NodeMetadata.__struct_fields__, "other"]), _json, max_size=4))
def test_any_fields_are_a_record_or_a_metadata_error(fields: dict[str, object]) -> None:
    body = msgspec.json.encode({**msgspec.to_builtins(RECORD), **fields})
    try:
        found = metadata.parse(under_a_checksum(body), "here")
    except MetadataError:
        return
    assert isinstance(found, NodeMetadata)


def test_a_record_of_a_newer_dkrepl_says_upgrade() -> None:
    body = msgspec.json.encode({"format": metadata.FORMAT + 1, "unheard": "of"})
    with pytest.raises(MetadataError, match="newer dkrepl"):
        metadata.parse(under_a_checksum(body), "here")


def test_a_record_that_is_whole_and_none_of_dkrepl_is_said() -> None:
    with pytest.raises(MetadataError, match="cannot be understood"):
        metadata.parse(under_a_checksum(b"[]"), "here")


def test_a_record_of_an_older_dkrepl_says_initialise_again() -> None:
    body = msgspec.json.encode({"format": metadata.FORMAT - 1})
    with pytest.raises(MetadataError, match="older dkrepl"):
        metadata.parse(under_a_checksum(body), "here")


def test_generations_before_the_present_one_are_remembered_up_to_a_bound() -> None:
    most = DEFAULT.generations
    record = msgspec.structs.replace(RECORD, generation="", history=())
    for number in range(most + 5):
        record = record.with_generation(f"g{number}", keep=most)
    assert record.generation == f"g{most + 4}"
    assert record.history == tuple(f"g{number}" for number in range(most + 3, 3, -1))
