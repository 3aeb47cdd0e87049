"""The entry: the fields of one log call, built once and read by every output."""

import json
from typing import Any, Final, NamedTuple

from sovdev_logger._entry.call_site import CallSite
from sovdev_logger._entry.levels import BY_EXACT_NAME, Level
from sovdev_logger._safety.json_encoding import Fragment, dumps, dumps_line

EXCEPTION_TYPE: Final = "Error"
"""The value of ``exception_type``, in every language's logger."""

Fields = dict[str, Any]

FIELDS_OF_EVERY_ENTRY: Final = (
    "timestamp",
    "level",
    "service_name",
    "service_version",
    "session_id",
    "peer_service",
    "function_name",
    "log_type",
    "message",
    "trace_id",
    "event_id",
    "input_json",
    "response_json",
)
"""In order; ``span_id``, if any, follows ``trace_id``."""


class Identity(NamedTuple):
    """The fields that all entries of one process share."""

    service_name: str
    service_version: str
    session_id: str


class Entry:
    """One finished entry: safe, redacted and bounded.

    Attributes:
        fields: The contract's fields in order. ``input_json`` and ``response_json`` are JSON
            fragments; read ``input_text`` and ``response_text`` instead.
        level: The entry's level in every vocabulary.
        time_ns: The wall clock, nanoseconds since the epoch.
        input_text, response_text: Compact JSON of the two values.
        trace_digits: The trace id as 32 hex digits where it is a valid OTel id, else None.
        exception: The original error, for foreign handlers; no output of ours reads it.
        call_site: Where the call stands, if an output needs it.
        sample_rate: The rate at which it was kept, 0 if it was sampled out, None without sampling.
    """

    __slots__ = (
        "call_site",
        "exception",
        "fields",
        "input_text",
        "level",
        "line_cache",
        "response_text",
        "sample_rate",
        "time_ns",
        "trace_digits",
    )

    fields: Fields
    level: Level
    time_ns: int
    input_text: bytes
    response_text: bytes
    trace_digits: str | None
    exception: BaseException | None
    sample_rate: float | None
    call_site: CallSite | None
    line_cache: bytes | None

    def __reduce__(self) -> tuple[Any, ...]:
        """Let foreign handlers pickle the record, as those that send it to another process do."""
        return _restored, (self.line(), self.level.name, self.time_ns, self.trace_digits)

    def line(self) -> bytes:
        """Return the entry as one line of JSON with its newline. Cached."""
        line = self.line_cache
        if line is None:
            line = self.line_cache = dumps_line(self.fields)
        return line


def _sampled_out() -> Entry:
    entry = Entry()
    entry.fields, entry.level, entry.time_ns = {}, BY_EXACT_NAME["trace"], 0
    entry.input_text = entry.response_text = entry.line_cache = b""
    entry.trace_digits = entry.exception = entry.call_site = None
    entry.sample_rate = 0.0
    return entry


SAMPLED_OUT_ENTRY: Final = _sampled_out()
"""Shared placeholder for sampled-out entries that are never built."""


def _restored(line: bytes, level: str, time_ns: int, trace_digits: str | None) -> Entry:
    fields = json.loads(line)
    entry = Entry()
    entry.level = BY_EXACT_NAME[level]
    entry.time_ns = time_ns
    entry.trace_digits = trace_digits
    entry.input_text = dumps(fields["input_json"])
    entry.response_text = dumps(fields["response_json"])
    fields["input_json"] = Fragment(entry.input_text)
    fields["response_json"] = Fragment(entry.response_text)
    entry.fields = fields
    entry.exception = entry.sample_rate = entry.call_site = None
    entry.line_cache = line
    return entry
