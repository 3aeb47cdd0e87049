"""Entries as payloads in the relay's schema (specification: relay)."""

import json
from typing import Any, Final

from sovdev_logger._entry.entry import Entry
from sovdev_logger._outputs.json_records import drop_large_values, server_level, to_strict_json
from sovdev_logger._outputs.relay.messages import SCHEMA, wrapped_payload
from sovdev_logger._safety.json_encoding import Fragment, dumps, dumps_line

_MAX_PAYLOAD_BYTES: Final = 4 * 1024 * 1024 - 16 * 1024

_MAX_MESSAGE_CHARACTERS: Final = 65_536
_MAX_KEPT_BYTES: Final = 65_536
_RENAMED: Final = frozenset({"timestamp", "level", "message", "trace_id", "span_id"})


class RelayEncoder:
    """Writes ``WrappedPayload`` messages; one entry for several targets is encoded once."""

    destination: Final = "the relay"

    def __init__(self) -> None:
        self._last: tuple[Entry | None, bytes] = (None, b"")

    def encode(self, entry: Entry) -> bytes:
        """Return an entry as the bytes of a ``WrappedPayload`` without its number."""
        last, item = self._last
        if last is entry:
            return item
        item = wrapped_payload(entry.fields["event_id"], entry.time_ns, _payload(entry))
        self._last = (entry, item)
        return item


def _payload(entry: Entry) -> bytes:
    fields = entry.fields
    level = server_level(fields["level"])
    has_failed = entry.level.is_error or "exception_message" in fields
    record: dict[str, Any] = {
        "log_schema": SCHEMA,
        "ts": fields["timestamp"].replace("+00:00", "Z"),
        "level": level,
        "msg": fields["message"],
        "logger": fields["service_name"],
        "caller": fields["function_name"],
        "component": {
            "id": fields["session_id"],
            "type": "service",
            "name": fields["service_name"],
        },
        "event": fields["log_type"],
        "result": "failure" if has_failed else "success",
    }
    if "exception_message" in fields:
        record["error"] = fields["exception_message"]
    record["trace_id"] = fields["trace_id"]
    if "span_id" in fields:
        record["span_id"] = fields["span_id"]
    record |= {name: value for name, value in fields.items() if name not in _RENAMED}
    record["input_json"] = Fragment(entry.input_text)
    record["response_json"] = Fragment(entry.response_text)
    if level != fields["level"]:
        record["original_level"] = fields["level"]
    if entry.sample_rate is not None:
        record["sample_rate"] = entry.sample_rate
    payload = to_strict_json(dumps_line(record)[:-1])
    return payload if len(payload) <= _MAX_PAYLOAD_BYTES else _cut(payload)


def _cut(payload: bytes) -> bytes:
    """Return a payload that fits, with its message cut and without large values."""
    fields = json.loads(payload)
    message = fields.pop("msg")[:_MAX_MESSAGE_CHARACTERS]
    return dumps({**drop_large_values(fields, _MAX_KEPT_BYTES), "msg": message})
