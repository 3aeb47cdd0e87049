"""Blocks as version 0.1.0 wrote them, which are read and sent, and no longer written.

    state | number of items | length and checksum of the payload | payload

Nothing protects state, number and length. So a block counts only if its payload has the checksum
and adds up; a wrong number or length is corrected where the payload proves it.
"""

import re
import struct
import zlib
from typing import BinaryIO, Final

from sovdev_logger._delivery.spool.blocks import DONE, LOST, PENDING, Block

_HEAD: Final = struct.Struct("<BIII")
_DONE: Final = 1
_LOST: Final = 3
"""Done for version 0.1.0, too."""

_CANDIDATES: Final = re.compile(rb"(?=[\x00\x01\x03]..[\x00-\x3f]\x00...[\x00-\x0f])", re.DOTALL)
"""Where a head may begin: the upper bits of number and length are not used."""


class Format1:
    """The format of version 0.1.0."""

    def next_block(self, file: BinaryIO, start: int, first: int, end: int) -> Block | None:
        """Return the block or hole that begins at ``start``; None when nothing follows."""
        file.seek(start)
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        state, count, length, checksum = _HEAD.unpack(head)
        payload = file.read(max(0, min(length, end - file.tell())))
        block = _sound(head, payload, start, first)
        if block is not None:
            return block
        payload += file.read(max(0, end - file.tell()))
        block = _sound(head, payload, start, first)
        if block is not None:
            return block
        following = _find(payload, start + _HEAD.size)
        if following is None and (not count or length != len(payload)):
            return None  # cut off, as far as one can tell
        stop = end if following is None else following
        is_plausible = 0 < 4 * count <= stop - start - _HEAD.size
        missing = count if is_plausible and state & _DONE == 0 else 0
        is_whole = start + _HEAD.size + length == stop
        return Block(
            start=start,
            end=stop,
            first=first,
            count=missing,
            state=LOST if is_whole and state == _LOST else PENDING,
            state_at=start if is_whole else None,
            payload_at=start + _HEAD.size,
            length=stop - start - _HEAD.size,
            checksum=checksum,
        )

    def is_cut_off(self, rest: bytes) -> bool:
        """Return whether the rest of a file is nothing, or a block whose writer was killed."""
        return rest[:1] in {b"", b"\x00", b"\x01", bytes([_LOST])}  # more cannot be told

    def mark(self, state: bytes) -> bytes:
        """Return what is written for a state."""
        return bytes([_LOST if state == LOST else _DONE])


def _sound(head: bytes, payload: bytes, start: int, first: int) -> Block | None:
    """Return the block if its payload proves it, with number and length corrected."""
    state, count, length, checksum = _HEAD.unpack(head)
    for number, size in ((count, length), (count, _added_up(payload, count)),
                         (_number(payload, length), length)):  # fmt: skip
        if not 0 < number <= size // 4 or size > len(payload):
            continue
        if _added_up(payload, number) == size and zlib.crc32(payload[:size]) == checksum:
            return Block(
                start=start,
                end=start + _HEAD.size + size,
                first=first,
                count=number,
                state=(LOST if state == _LOST else DONE) if state & _DONE else PENDING,
                state_at=start,
                payload_at=start + _HEAD.size,
                length=size,
                checksum=checksum,
            )
    return None


def _added_up(payload: bytes, count: int) -> int:
    """Return the length of a payload by the lengths of its items; 0 if it cannot be."""
    if 4 * count > len(payload):
        return 0
    lengths: tuple[int, ...] = struct.unpack_from(f"<{count}I", payload)
    return 4 * count + sum(lengths)


def _number(payload: bytes, length: int) -> int:
    """Return how many items a payload of that length has; 0 if it cannot be."""
    total = 0
    end = min(length, len(payload))
    lengths = struct.iter_unpack("<I", payload[: end - end % 4])
    for count, (size,) in enumerate(lengths, start=1):
        total += 4 + size
        if total >= length:
            return count if total == length else 0
    return 0


def _find(data: bytes, offset: int) -> int | None:
    """Return where in the file the first sound block of ``data`` begins."""
    for found in _CANDIDATES.finditer(data):
        at = found.start()
        head = data[at : at + _HEAD.size]
        if len(head) < _HEAD.size:
            return None
        _, count, length, checksum = _HEAD.unpack(head)
        payload = data[at + _HEAD.size : at + _HEAD.size + length]
        is_whole = 0 < 4 * count <= length == len(payload)
        if is_whole and _added_up(payload, count) == length and zlib.crc32(payload) == checksum:
            return offset + at
    return None
