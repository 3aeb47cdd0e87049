"""The OTLP protobuf wire format, as far as entries and batches need it.

Writing these few messages by hand costs a tenth of generated classes; the tests decode every byte
with ``opentelemetry-proto``.
"""

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Final

SCOPE_VERSION: Final = "1.0.0"
"""The version of the instrumentation scope, the same in every language."""

_VARINT_TYPE: Final = 0
_LENGTH_TYPE: Final = 2
_FIXED64_TYPE: Final = 1
_FIXED32_TYPE: Final = 5
_READY_VARINTS: Final = 2048
_DOUBLE_VALUE: Final = Struct("<Bd")


def _encode_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_VARINTS: Final = [_encode_varint(number) for number in range(_READY_VARINTS)]


def varint(number: int) -> bytes:
    """Return a non-negative number as a protobuf varint."""
    return _VARINTS[number] if number < _READY_VARINTS else _encode_varint(number)


def length_delimited(field_number: int, payload: bytes) -> bytes:
    """Return a field that holds bytes, a string or a message."""
    return varint(field_number << 3 | _LENGTH_TYPE) + varint(len(payload)) + payload


def utf8(text: str) -> bytes:
    """Return text as UTF-8; a lone surrogate, which protobuf forbids, becomes ``?``."""
    return text.encode("utf-8", "replace")


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
    length, start = _read_varint(context, 0)
    resource, scope = context[start : start + length], context[start + length :]
    joined = b"".join(items)
    scoped = b"\x12" + varint(len(scope) + len(joined)) + scope
    resource_length = len(resource) + len(scoped) + len(joined)
    return b"".join((b"\x0a", varint(resource_length), resource, scoped, joined))


def as_item(message: bytes) -> bytes:
    """Return a log record or span as the repeated field that a scope holds."""
    return b"\x12" + varint(len(message)) + message


def read_partial_success(body: bytes) -> tuple[int, str]:
    """Return how many items a server refused and why, from its export response.

    Anything that is not such a response counts as no refusal: the status said 2xx.
    """
    try:
        partial = _fields(body).get(1, b"")
        fields = _fields(partial) if isinstance(partial, bytes) else {}
    except (IndexError, ValueError):
        return 0, ""
    rejected, reason = fields.get(1, 0), fields.get(2, b"")
    return (
        rejected if isinstance(rejected, int) else 0,
        reason.decode("utf-8", "replace") if isinstance(reason, bytes) else "",
    )


def _fields(message: bytes) -> dict[int, int | bytes]:
    found: dict[int, int | bytes] = {}
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        kind = key & 7
        if kind == _VARINT_TYPE:
            found[key >> 3], at = _read_varint(message, at)
        elif kind == _LENGTH_TYPE:
            length, at = _read_varint(message, at)
            found[key >> 3] = message[at : at + length]
            at += length
        elif kind in {_FIXED64_TYPE, _FIXED32_TYPE}:
            at += 8 if kind == _FIXED64_TYPE else 4
        else:
            raise ValueError(kind)
    return found


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a varint
            return number, at
        shift += 7
