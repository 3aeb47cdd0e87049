"""Entries as Logwell records (specification: Logwell)."""

import json
from itertools import count
from typing import Any, Final

from sovdev_logger._entry.arguments import NO_MESSAGE
from sovdev_logger._entry.entry import Entry
from sovdev_logger._outputs.json_records import (
    TOO_LARGE,
    drop_large_values,
    server_level,
    to_strict_json,
)
from sovdev_logger._outputs.logwell.exporter import MAX_REQUEST_BYTES
from sovdev_logger._safety.json_encoding import Fragment, dumps, dumps_line

_MAX_LINE_NUMBER: Final = 2**31 - 1
_OWN_FIELDS: Final = frozenset({"level", "message", "timestamp", "service_name"})

_MAX_MESSAGE_CHARACTERS: Final = 32_768
_MAX_KEPT_BYTES: Final = 4096
_MAX_PARTS_BYTES: Final = MAX_REQUEST_BYTES - 64


class LogwellEncoder:
    """Puts a field of an entry where the server has one for it, and the others into metadata."""

    destination: Final = "Logwell"

    def __init__(self) -> None:
        self._records = LogwellRecords()

    def encode(self, entry: Entry) -> bytes:
        """Return an entry as one JSON object that the server can store."""
        fields = entry.fields
        metadata = {name: value for name, value in fields.items() if name not in _OWN_FIELDS}
        metadata["input_json"] = Fragment(entry.input_text)
        metadata["response_json"] = Fragment(entry.response_text)
        level = server_level(fields["level"])
        if level != fields["level"]:
            metadata["level"] = fields["level"]
        if entry.sample_rate is not None:
            metadata["sample_rate"] = entry.sample_rate
        return self._records.record(
            level=level,
            message=fields["message"],
            timestamp=fields["timestamp"],
            service=fields["service_name"],
            source=entry.call_site and entry.call_site[:2],
            metadata=dumps_line(metadata)[:-1],
        )


class LogwellRecords:
    """Writes the records that ``POST /v1/ingest`` takes.

    Each has the next sequence number: the server's own order ends at the millisecond.
    """

    def __init__(self) -> None:
        self._sequence = count(1)

    def record(
        self,
        *,
        level: str,
        message: str,
        timestamp: str,
        service: str | None,
        source: tuple[str, int] | None,
        metadata: bytes,
    ) -> bytes:
        """Return a record as one JSON object that the server can store.

        Args:
            level: ``debug``, ``info``, ``warn``, ``error`` or ``fatal``.
            message: What happened; a blank one would be rejected and is replaced.
            timestamp: ISO 8601 with a zone.
            service: The service's name.
            source: The caller's file and line.
            metadata: The rest, as a JSON object.
        """
        record: dict[str, Any] = {
            "level": level,
            "message": message if message.strip() else NO_MESSAGE,
            "timestamp": timestamp,
        }
        if service:
            record["service"] = service
        if source is not None:
            record["sourceFile"] = source[0]
            if 1 <= source[1] <= _MAX_LINE_NUMBER:
                record["lineNumber"] = source[1]
        own = to_strict_json(dumps(record))
        number = b'"sequence":%d' % next(self._sequence)
        rest = to_strict_json(metadata)
        if len(own) + len(rest) + len(number) > _MAX_PARTS_BYTES:
            return _cut(record, rest, number)
        return _joined(own, rest, number)


def _joined(own: bytes, metadata: bytes, number: bytes) -> bytes:
    inside = metadata[1:-1] + b"," if len(metadata) > len(b"{}") else b""
    return own[:-1] + b',"metadata":{' + inside + number + b"}}"


def _cut(record: dict[str, Any], metadata: bytes, number: bytes) -> bytes:
    """Return a record that fits, with its message cut and without large values."""
    message = record["message"][:_MAX_MESSAGE_CHARACTERS]
    own = to_strict_json(dumps({**record, "message": message}))
    rest = dumps(drop_large_values(json.loads(metadata), _MAX_KEPT_BYTES))
    if len(rest) > _MAX_PARTS_BYTES // 2:  # very many small values
        rest = dumps({TOO_LARGE: True})
    return _joined(own, rest, number)
