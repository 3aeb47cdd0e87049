"""The relay's messages as bytes; relay.proto declares their fields."""

import uuid
from typing import Final, NamedTuple

from sovdev_logger._delivery.protobuf import (
    int64_field,
    length_delimited,
    read_fields,
    utf8,
    varint,
    varint_field,
)
from sovdev_logger._settings.relay import RelaySettings

SCHEMA: Final = "electrician.log.v1"

_ACK_PER_MESSAGE: Final = 1
_ACK_BATCH: Final = 2
_SECOND_NS: Final = 1_000_000_000
_SEQ_TAG: Final = b"\x30"


def _metadata(content_type: str, **headers: str) -> bytes:
    """Return a ``MessageMetadata`` of version 1."""
    return (
        b"".join(
            length_delimited(1, length_delimited(1, utf8(name)) + length_delimited(2, utf8(value)))
            for name, value in headers.items()
        )
        + length_delimited(2, utf8(content_type))
        + length_delimited(3, varint_field(1, 1))
    )


_DEFAULTS: Final = length_delimited(
    2, _metadata("application/octet-stream", source="sovdev-logger")
)
_METADATA_AND_TYPE: Final = length_delimited(
    4, _metadata("application/json", source="sovdev-logger", log_schema=SCHEMA)
) + length_delimited(8, utf8(SCHEMA))

CLOSE: Final = length_delimited(3, length_delimited(1, b"end of batch"))
"""The envelope that ends a stream."""


def open_envelope(settings: RelaySettings) -> bytes:
    """Return the envelope that opens a stream with an id of its own."""
    every = settings.ack_every_n
    return length_delimited(
        1,
        length_delimited(1, utf8(uuid.uuid4().hex + uuid.uuid4().hex))
        + _DEFAULTS
        + varint_field(3, _ACK_PER_MESSAGE if every == 1 else _ACK_BATCH)
        + varint_field(4, every)
        + varint_field(5, settings.max_in_flight)
        + varint_field(6, 1),  # omit_payload_metadata
    )


def wrapped_payload(entry_id: str, time_ns: int, payload: bytes) -> bytes:
    """Return a ``WrappedPayload`` without its number in the stream, which comes last."""
    seconds, nanos = divmod(time_ns, _SECOND_NS)
    return b"".join(
        (
            length_delimited(1, utf8(entry_id)),
            length_delimited(2, int64_field(1, seconds) + varint_field(2, nanos)),
            length_delimited(3, payload),
            _METADATA_AND_TYPE,
        )
    )


def envelope(item: bytes, seq: int) -> bytes:
    """Return the envelope of a ``WrappedPayload``, which gets its number in the stream."""
    return length_delimited(2, item + _SEQ_TAG + varint(seq))


class Acknowledgement(NamedTuple):
    """What a relay says of the entry ``seq``, or, where that is 0, of all up to ``last_seq``."""

    success: bool
    message: str
    seq: int
    last_seq: int
    ok_count: int
    err_count: int


def read_acknowledgement(message: bytes) -> Acknowledgement:
    """Read a ``StreamAcknowledgment``.

    Raises:
        ValueError: It is not a protobuf message.
    """
    fields = read_fields(message)
    text = fields.get(2)
    success, seq, last_seq, ok_count, err_count = (
        value if isinstance(value := fields.get(number), int) else 0 for number in (1, 6, 9, 10, 11)
    )
    return Acknowledgement(
        bool(success),
        text.decode("utf-8", "replace") if isinstance(text, bytes) else "",
        seq,
        last_seq,
        ok_count,
        err_count,
    )
