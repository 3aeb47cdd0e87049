"""The head of a file of the spool: which version wrote it, and the context of its items.

    line | length and checksum of the context | context     all this twice

The line names the format. It stays as it is in later formats, so that an older version leaves the
files of a newer one alone and says whose they are. In format 1 the head is there once.
"""

import re
import struct
import zlib
from typing import BinaryIO, Final

_LINE: Final = b"sovdev-spool-2\n"
_LINE_1: Final = b"sovdev-spool-1\n"
_ANY_LINE: Final = re.compile(rb"sovdev-spool-(\d{1,4})([ -~]{0,60})\n")
_NUMBERS: Final = struct.Struct("<II")
_MAX_BYTES: Final = 64 * 1024
"""Largest context of which the second copy is looked for: it holds a few attributes."""

FORMAT: Final = 2


class NewerFormatError(Exception):
    """A later version wrote the file; the argument says which."""


def encode_head(context: bytes) -> bytes:
    """Return the head of a new file."""
    length = len(context).to_bytes(4, "little")
    checksum = zlib.crc32(_LINE + length + context).to_bytes(4, "little")
    return (_LINE + length + checksum + context) * 2


def read_head(file: BinaryIO, size: int) -> tuple[int, bytes, int] | None:
    """Return format, context, and where the blocks begin; None for a damaged head.

    Args:
        file: Opened for reading. Raises OSError and NewerFormatError.
        size: Its size.
    """
    file.seek(0)
    data = file.read(len(_LINE) + _NUMBERS.size)
    if data.startswith(_LINE_1) and len(data) == len(_LINE_1) + _NUMBERS.size:
        length, checksum = _NUMBERS.unpack_from(data, len(_LINE_1))
        context = file.read(min(length, size))
        if len(context) < length or zlib.crc32(context) != checksum:
            return None
        return 1, context, file.tell()
    length = int.from_bytes(data[len(_LINE) : len(_LINE) + 4], "little")
    data += file.read(min(size, max(2 * length, 2 * _MAX_BYTES)))
    return _find_copy(data)


def is_begun(file: BinaryIO, size: int) -> bool:
    """Return whether a file is no more than the start of a head, as if its writer was killed."""
    file.seek(0)
    data = file.read(len(_LINE) + _NUMBERS.size)
    line = data[: len(_LINE)]
    if line not in {_LINE[: len(line)], _LINE_1[: len(line)]}:
        return False
    if len(data) < len(_LINE) + _NUMBERS.size:
        return True
    length = int(_NUMBERS.unpack_from(data, len(_LINE))[0])
    copies = 1 if line == _LINE_1 else 2
    return length < _MAX_BYTES and size < copies * (len(data) + length)


def _find_copy(data: bytes) -> tuple[int, bytes, int] | None:
    for found in re.finditer(re.escape(_LINE), data):
        context = _context_at(data, found.start())
        if context is not None:
            size = len(_LINE) + _NUMBERS.size + len(context)
            return FORMAT, context, max(found.start() + size, 2 * size)
    line = _ANY_LINE.match(data)
    if line is not None and int(line[1]) > FORMAT:
        raise NewerFormatError((line[1] + line[2]).decode("ascii"))
    return None


def _context_at(data: bytes, at: int) -> bytes | None:
    """Return the context of the copy that begins there; None when it is damaged."""
    start = at + len(_LINE) + _NUMBERS.size
    if len(data) < start:
        return None
    length, checksum = _NUMBERS.unpack_from(data, at + len(_LINE))
    context = data[start : start + length]
    sealed = data[at : at + len(_LINE) + 4] + context
    if len(context) < length or zlib.crc32(sealed) != checksum:
        return None
    return context
