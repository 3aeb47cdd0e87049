"""Protobuf's wire format: what is written is read, and nothing that arrives hurts the reader."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovdev_logger._delivery.protobuf import (
    as_int64,
    int64_field,
    length_delimited,
    read_fields,
    read_varint,
    varint,
)


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_a_varint_is_read_as_it_was_written(number: int) -> None:
    written = varint(number)
    assert read_varint(b"\xff" + written + b"\xff", 1) == (number, 1 + len(written))


@settings(deadline=None)
@given(st.dictionaries(st.integers(1, 2**20), st.binary(max_size=300)))
def test_fields_are_read_as_they_were_written(fields: dict[int, bytes]) -> None:
    message = b"".join(length_delimited(number, value) for number, value in fields.items())
    assert read_fields(message) == fields


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_value_error(junk: bytes) -> None:
    try:
        fields = read_fields(junk)
    except ValueError:
        return
    assert all(isinstance(value, int | bytes) for value in fields.values())


@pytest.mark.parametrize("junk", [b"\x80", b"\x08", b"\x08\x80", b"\x0a", b"\x0b", b"\x0f"])
def test_what_is_no_message_is_refused(junk: bytes) -> None:
    with pytest.raises(ValueError, match=r"wire type|without an end"):
        read_fields(junk)


def test_a_number_of_a_megabyte_is_not_read_to_its_end() -> None:
    """Each further byte would cost as much as all before it."""
    with pytest.raises(ValueError, match="without an end"):
        read_fields(b"\x08" + b"\x80" * 4_000_000)


def test_fields_of_fixed_size_are_skipped() -> None:
    fixed = b"\x09" + bytes(8) + b"\x15" + bytes(4)
    assert read_fields(fixed + b"\x18\x07") == {3: 7}


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63 - 1))
def test_a_signed_number_is_read_as_it_was_written(number: int) -> None:
    field = read_fields(int64_field(3, number))[3]
    assert isinstance(field, int)
    assert as_int64(field) == number


def test_a_varint_of_more_than_64_bits_is_cut_as_other_readers_do() -> None:
    assert read_varint(b"\xff" * 9 + b"\x7f", 0) == (2**64 - 1, 10)
