"""Protobuf's wire format, both ways, for the few messages that are written and read by hand.

That costs a tenth of generated classes; the tests decode every byte with generated ones.
"""

from typing import Final

_VARINT_TYPE: Final = 0
_FIXED64_TYPE: Final = 1
_LENGTH_TYPE: Final = 2
_FIXED32_TYPE: Final = 5
_FIXED_SIZES: Final = {_FIXED64_TYPE: 8, _FIXED32_TYPE: 4}
_READY_VARINTS: Final = 2048
_MAX_VARINT_BYTES: Final = 10
_64_BITS: Final = 2**64 - 1
_SIGN_BIT: Final = 2**63


def _encode_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_VARINTS: Final = [_encode_varint(number) for number in range(_READY_VARINTS)]


def varint(number: int) -> bytes:
    """Return a non-negative number as a varint."""
    return _VARINTS[number] if number < _READY_VARINTS else _encode_varint(number)


def varint_field(field_number: int, number: int) -> bytes:
    """Return a field that holds a non-negative number, a boolean or a member of an enum."""
    return varint(field_number << 3) + varint(number)


def int64_field(field_number: int, number: int) -> bytes:
    """Return a field that holds a signed number; a negative one takes ten bytes."""
    return varint_field(field_number, number & _64_BITS)


def length_delimited(field_number: int, payload: bytes) -> bytes:
    """Return a field that holds bytes, a string or a message."""
    return varint(field_number << 3 | _LENGTH_TYPE) + varint(len(payload)) + payload


def utf8(text: str) -> bytes:
    """Return text as UTF-8; a lone surrogate, which protobuf forbids, becomes ``?``."""
    return text.encode("utf-8", "replace")


def read_fields(message: bytes) -> dict[int, int | bytes]:
    """Return the last value of each field by its number; fields of fixed size are skipped.

    Raises:
        ValueError: It is not a protobuf message.
    """
    fields: dict[int, int | bytes] = {}
    at = 0
    while at < len(message):
        key, at = read_varint(message, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT_TYPE:
            fields[number], at = read_varint(message, at)
        elif wire_type == _LENGTH_TYPE:
            length, at = read_varint(message, at)
            # A message that was cut off while it was read may end inside the last value.
            fields[number] = message[at : at + length]
            at += length
        elif wire_type in _FIXED_SIZES:
            at += _FIXED_SIZES[wire_type]
        else:
            raise ValueError(f"wire type {wire_type}")
    return fields


def read_varint(message: bytes, start: int) -> tuple[int, int]:
    """Return the varint at ``start``, at most 64 bits of it, and where it ends.

    Raises:
        ValueError: It has no end.
    """
    number = 0
    for index, byte in enumerate(message[start : start + _MAX_VARINT_BYTES]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a varint
            return number & _64_BITS, start + index + 1
    raise ValueError("a varint without an end")


def as_int64(number: int) -> int:
    """Return the signed number that a varint of 64 bits stands for."""
    return number - 2 * _SIGN_BIT if number >= _SIGN_BIT else number
