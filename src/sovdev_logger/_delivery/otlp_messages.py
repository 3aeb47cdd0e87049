"""OTLP's messages, as far as entries and batches need them."""

import time
from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Final

from sovdev_logger._delivery.protobuf import (
    as_int64,
    length_delimited,
    read_fields,
    read_varint,
    utf8,
    varint,
)

SCOPE_VERSION: Final = "1.0.0"
"""The version of the instrumentation scope, the same in every language."""

MAX_TIME_NS: Final = 2**63 - 1
"""The last moment, in 2262, of readers that count nanoseconds in a signed number."""

_DOUBLE_VALUE: Final = Struct("<Bd")


def string_value(text: bytes) -> bytes:
    """Return an ``AnyValue`` that holds a string."""
    return b"\x0a" + varint(len(text)) + text


def string_attribute(key: str, text: bytes) -> bytes:
    """Return a ``KeyValue`` message with a string value."""
    return length_delimited(1, utf8(key)) + length_delimited(2, string_value(text))


def double_attribute(key: str, number: float) -> bytes:
    """Return a ``KeyValue`` message with a double value."""
    return length_delimited(1, utf8(key)) + length_delimited(2, _DOUBLE_VALUE.pack(0x21, number))


def make_context(resource_attributes: Mapping[str, str], scope_name: str) -> bytes:
    """Return the resource and scope of a process, which its items are wrapped in when sent."""
    attributes = b"".join(
        length_delimited(1, string_attribute(key, utf8(value)))
        for key, value in resource_attributes.items()
    )
    scope = length_delimited(1, utf8(scope_name)) + length_delimited(2, utf8(SCOPE_VERSION))
    resource = length_delimited(1, attributes)
    return varint(len(resource)) + resource + length_delimited(1, scope)


def wrap(items: Sequence[bytes], context: bytes) -> bytes:
    """Return an export request with ``items``, each made by ``as_item``.

    Logs and traces have the same shape of request.
    """
    length, start = read_varint(context, 0)
    resource, scope = context[start : start + length], context[start + length :]
    joined = b"".join(items)
    scoped = b"\x12" + varint(len(scope) + len(joined)) + scope
    resource_length = len(resource) + len(scoped) + len(joined)
    return b"".join((b"\x0a", varint(resource_length), resource, scoped, joined))


def as_item(message: bytes) -> bytes:
    """Return a log record or span as the repeated field that a scope holds."""
    return b"\x12" + varint(len(message)) + message


def native_times(time_ns: int) -> tuple[int, int]:
    """Return the time and the observed time of a log record.

    A time that OTLP cannot express, before 1970 or after 2262, is 0, which means unknown; then
    the record is observed now. Its attribute ``timestamp`` has the time in any case.
    """
    if 0 <= time_ns <= MAX_TIME_NS:
        return time_ns, time_ns
    return 0, min(max(0, time.time_ns()), MAX_TIME_NS)


def read_partial_success(body: bytes) -> tuple[int, str]:
    """Return how many items a server rejected and why, from its export response.

    A negative number, which is none, counts as 0.

    Anything that is not such a response counts as no rejection: the status said 2xx.
    """
    try:
        partial = read_fields(body).get(1, b"")
        fields = read_fields(partial) if isinstance(partial, bytes) else {}
    except ValueError:
        return 0, ""
    rejected, reason = fields.get(1, 0), fields.get(2, b"")
    return (
        max(0, as_int64(rejected)) if isinstance(rejected, int) else 0,
        reason.decode("utf-8", "replace") if isinstance(reason, bytes) else "",
    )
