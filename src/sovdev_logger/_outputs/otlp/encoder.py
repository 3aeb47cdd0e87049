"""Entries as OTLP log records."""

import struct
from typing import Final

from sovdev_logger._delivery.otlp_messages import (
    MAX_TIME_NS,
    as_item,
    double_attribute,
    native_times,
    string_attribute,
    string_value,
)
from sovdev_logger._delivery.protobuf import length_delimited, utf8, varint
from sovdev_logger._entry.context import CONTEXT_FIELDS
from sovdev_logger._entry.entry import FIELDS_OF_EVERY_ENTRY, Entry, Fields

_MAX_KEPT_PREFIXES: Final = 4096
_MAX_KEPT_BYTES: Final = 1024

# Field numbers of opentelemetry.proto.logs.v1.LogRecord.
_SEVERITY_NUMBER: Final = b"\x10"
_SEVERITY_TEXT: Final = 3
_ATTRIBUTE: Final = 6
_TIMES: Final = struct.Struct("<cQcQ")
_TIME: Final = b"\x09"
_OBSERVED_TIME: Final = b"\x59"
_BODY_TAG: Final = b"\x2a"
_TRACE_ID: Final = b"\x4a\x10"
_SPAN_ID: Final = b"\x52\x08"

_STEADY_FIELDS: Final = (
    "service_name",
    "service_version",
    "peer_service",
    "function_name",
    "log_type",
)
_OPTIONAL_FIELDS: Final = (
    *CONTEXT_FIELDS,
    "exception_type",
    "exception_message",
    "exception_stacktrace",
)


_ALWAYS_PRESENT: Final = len(FIELDS_OF_EVERY_ENTRY)
"""How many fields an entry without a span, context and exception has."""


class OtlpEncoder:
    """Writes ``LogRecord`` messages, keeping the parts that repeat from call to call.

    Attributes are flat and snake_case; input and response are JSON text; trace and span ids are
    native too (specification: OTLP).
    """

    destination: Final = "OTLP"

    def __init__(self) -> None:
        self._prefixes: dict[tuple[str | None, ...], bytes] = {}

    def encode(self, entry: Entry) -> bytes:
        """Return an entry as one item of a request."""
        fields = entry.fields
        key = (
            fields["level"],
            fields["function_name"],
            fields["peer_service"],
            fields["log_type"],
            fields["service_name"],
        )
        prefix = self._prefixes.get(key)
        if prefix is None:
            prefix = self._new_prefix(key, entry)
        time_ns = observed_ns = entry.time_ns
        if not 0 <= time_ns <= MAX_TIME_NS:
            time_ns, observed_ns = native_times(time_ns)
        body = string_value(utf8(fields["message"] or ""))
        parts = [
            _TIMES.pack(_TIME, time_ns, _OBSERVED_TIME, observed_ns),
            prefix,
            _BODY_TAG,
            varint(len(body)),
            body,
            _timestamp(fields["timestamp"]),
            _trace_id(fields["trace_id"]),
            _event_id(fields["event_id"]),
            _input_json(entry.input_text),
            _response_json(entry.response_text),
        ]
        digits = entry.trace_digits
        if digits is not None:
            parts += (_TRACE_ID, bytes.fromhex(digits))
        _add_optional(parts, fields)
        if entry.sample_rate is not None:
            parts.append(_sample_rate(entry.sample_rate))
        return as_item(b"".join(parts))

    def _new_prefix(self, key: tuple[str | None, ...], entry: Entry) -> bytes:
        prefix = (
            _SEVERITY_NUMBER
            + varint(entry.level.otel_severity)
            + length_delimited(_SEVERITY_TEXT, utf8(entry.level.severity_text))
            + b"".join(_attribute(name, entry.fields[name] or "") for name in _STEADY_FIELDS)
        )
        if len(self._prefixes) < _MAX_KEPT_PREFIXES and len(prefix) <= _MAX_KEPT_BYTES:
            self._prefixes[key] = prefix
        return prefix


class _AttributeWriter:
    """Writes one attribute whose values mostly have the same length, such as an id.

    The bytes in front of the value depend on nothing but its length, so they are kept.
    """

    __slots__ = ("_heads", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._heads: dict[int, bytes] = {}

    def __call__(self, value: str | bytes | None) -> bytes:
        text = value if isinstance(value, bytes) else utf8(value or "")
        head = self._heads.get(len(text))
        if head is None:
            head = self._new_head(text)
        return head + text

    def _new_head(self, text: bytes) -> bytes:
        whole = length_delimited(_ATTRIBUTE, string_attribute(self._name, text))
        head = whole[: len(whole) - len(text)]
        if len(self._heads) < _MAX_KEPT_PREFIXES:
            self._heads[len(text)] = head
        return head


_timestamp: Final = _AttributeWriter("timestamp")
_trace_id: Final = _AttributeWriter("trace_id")
_event_id: Final = _AttributeWriter("event_id")
_input_json: Final = _AttributeWriter("input_json")
_response_json: Final = _AttributeWriter("response_json")


def _attribute(name: str, text: str) -> bytes:
    return length_delimited(_ATTRIBUTE, string_attribute(name, utf8(text)))


def _sample_rate(rate: float) -> bytes:
    return length_delimited(_ATTRIBUTE, double_attribute("sample_rate", rate))


def _add_optional(parts: list[bytes], fields: Fields) -> None:
    span_id = fields.get("span_id")
    if span_id is not None:
        parts += (_SPAN_ID, bytes.fromhex(span_id), _attribute("span_id", span_id))
    if len(fields) > _ALWAYS_PRESENT:
        parts += (
            _attribute(name, fields[name] or "") for name in _OPTIONAL_FIELDS if name in fields
        )
