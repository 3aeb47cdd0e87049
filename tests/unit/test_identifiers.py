"""Ids and the clock."""

import os
import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovdev_logger._entry.identifiers import (
    Clock,
    new_trace_id,
    new_uuid,
    trace_id_digits,
)


def test_uuids_are_valid_version_4_and_distinct() -> None:
    made = [new_uuid() for _ in range(2000)]
    assert len(set(made)) == len(made)
    for text in made:
        parsed = uuid.UUID(text)
        assert parsed.version == 4
        assert parsed.variant == uuid.RFC_4122
        assert str(parsed) == text


def test_a_forked_child_does_not_repeat_its_parents_ids() -> None:
    new_uuid(), new_trace_id()  # some are prepared from here on
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, f"{new_uuid()} {new_trace_id()}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    uuid_of_child, trace_id_of_child = os.read(reader, 200).decode().split()
    os.close(reader)
    os.close(writer)
    assert new_uuid() != uuid_of_child
    assert new_trace_id() != trace_id_of_child


def test_a_trace_id_is_32_hex_digits() -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", new_trace_id())


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("0af7651916cd43dd8448eb211c80319c", "0af7651916cd43dd8448eb211c80319c"),
        ("0AF76519-16CD-43DD-8448-EB211C80319C", "0af7651916cd43dd8448eb211c80319c"),
        ("0" * 32, None),
        ("order-17", None),
        ("g" * 32, None),
        ("1_" * 16, None),
        ("+" + "1" * 31, None),
        ("\u0661" * 32, None),
        ("", None),
    ],
)
def test_only_128_bits_in_hex_are_a_trace_id(text: str, digits: str | None) -> None:
    assert trace_id_digits(text) == digits


@given(st.integers(min_value=-62135596800_000000000, max_value=253402300799_999999999))
def test_the_clock_writes_iso_with_microseconds(now_ns: int) -> None:
    text = Clock().iso(now_ns)
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo == UTC
    assert (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) == now_ns // 10**9
    assert moment.microsecond == now_ns % 10**9 // 1000
    assert len(text) == 32


def test_the_clock_keeps_the_text_of_a_second_and_follows_it_backwards() -> None:
    clock = Clock()
    assert clock.iso(10**9) == "1970-01-01T00:00:01.000000+00:00"
    assert clock.iso(2 * 10**9 + 5000) == "1970-01-01T00:00:02.000005+00:00"
    assert clock.iso(10**9 + 1000) == "1970-01-01T00:00:01.000001+00:00"
