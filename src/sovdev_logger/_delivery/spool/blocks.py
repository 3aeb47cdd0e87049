"""A block of items as it stands in a file of the spool, and how to find the next one.

    head | state | payload | tail

Head and tail say the same: the number of the block's first item in its file, the number of items,
and length and checksum of the payload; each has a marker that text does not contain and a checksum
of its own. So a block with a damaged head is found by its tail, a block with a damaged payload is
the only one lost, and the numbers tell how many items a hole in the file has cost.

The state is one byte that is overwritten in place. Its three values differ in four bits or more.
"""

import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

PENDING: Final = b"\x00"
DONE: Final = b"\xff"
LOST: Final = b"\x0f"
"""Its items are counted as dropped, and the file is kept for people."""

_HEAD_MARKER: Final = b"\xfb\xf5\xf8block\xfa"
_TAIL_MARKER: Final = b"\xf8\xfa\xfbkcolb\xf5"
_FIELDS: Final = struct.Struct("<9sIIII")
_CHECKSUM: Final = struct.Struct("<I")
_HEAD_SIZE: Final = _FIELDS.size + _CHECKSUM.size
STATE_OFFSET: Final = _HEAD_SIZE
_OVERHEAD: Final = 2 * _HEAD_SIZE + len(PENDING)
_MARKERS: Final = re.compile(re.escape(_HEAD_MARKER) + b"|" + re.escape(_TAIL_MARKER))
_MAX_FLIPPED_BITS: Final = 2


@dataclass(frozen=True, slots=True)
class Block:
    """Where a block is in its file, and what is known about it.

    Attributes:
        start, end: Its bytes.
        first: The number of its first item in the file.
        count: Its items; of a hole, how many items are missing there.
        state: ``PENDING``, ``DONE`` or ``LOST``.
        state_at: Where its state is; None for a hole.
        payload_at, length, checksum: Its payload.
    """

    start: int
    end: int
    first: int
    count: int
    state: bytes = PENDING
    state_at: int | None = None
    payload_at: int = 0
    length: int = 0
    checksum: int = 0

    def read_items(self, file: BinaryIO) -> tuple[bytes, ...] | None:
        """Return the items, None when they are not what was written. Raises OSError."""
        file.seek(self.payload_at)
        payload = file.read(self.length)
        if self.state_at is None or zlib.crc32(payload) != self.checksum:
            return None
        return split(payload, self.count)


class BlockFormat(Protocol):
    """How blocks stand in a file of one version."""

    def next_block(self, file: BinaryIO, start: int, first: int, end: int) -> Block | None:
        """Return the block or hole that begins at ``start``; None when nothing follows.

        Args:
            file: Opened for reading. Raises OSError.
            start: Where the last block ended.
            first: The number of the next item.
            end: Where the file ends.
        """

    def is_cut_off(self, rest: bytes) -> bool:
        """Return whether the rest of a file is nothing, or a block whose writer was killed.

        Args:
            rest: Its first 64 bytes.
        """

    def mark(self, state: bytes) -> bytes:
        """Return what is written for a state."""


class Format2:
    """The format that this version writes."""

    def next_block(self, file: BinaryIO, start: int, first: int, end: int) -> Block | None:
        """Return the block or hole that begins at ``start``; None when nothing follows."""
        file.seek(start)
        head = file.read(_HEAD_SIZE + len(PENDING))
        block = _parse(head, _HEAD_MARKER, start)
        if block is None:
            block = _find(head + file.read(max(0, end - file.tell())), start)
        if block is None or block.end > end:
            return None
        if block.start > start or block.first > first:
            return Block(start, block.start, first, max(0, block.first - first))
        return block

    def is_cut_off(self, rest: bytes) -> bool:
        """Return whether the rest of a file is nothing, or a block whose writer was killed."""
        if len(rest) >= _HEAD_SIZE:
            return _parse(rest[:_HEAD_SIZE] + PENDING, _HEAD_MARKER, 0) is not None
        return rest[: len(_HEAD_MARKER)] == _HEAD_MARKER[: len(rest)]

    def mark(self, state: bytes) -> bytes:
        """Return what is written for a state."""
        return state


def encode(items: Sequence[bytes], first: int) -> bytes:
    """Return the bytes of a block."""
    payload = struct.pack(f"<{len(items)}I", *map(len, items)) + b"".join(items)
    fields = (first, len(items), len(payload), zlib.crc32(payload))
    head, tail = _sealed(_HEAD_MARKER, *fields), _sealed(_TAIL_MARKER, *fields)
    return b"".join((head, PENDING, payload, tail))


def encoded_size(items: Sequence[bytes]) -> int:
    """Return how many bytes the block of some items takes."""
    return _OVERHEAD + sum(map(len, items)) + 4 * len(items)


def in_blocks(items: Sequence[bytes], max_bytes: int) -> list[list[bytes]]:
    """Split items into blocks that fit a segment; a larger item gets a block of its own."""
    blocks: list[list[bytes]] = []
    size = max_bytes
    for item in items:
        if size + len(item) > max_bytes:
            blocks.append([])
            size = 0
        blocks[-1].append(item)
        size += len(item)
    return blocks


def split(payload: bytes, count: int) -> tuple[bytes, ...]:
    """Return the items of a payload."""
    at = 4 * count
    items = []
    for length in struct.unpack_from(f"<{count}I", payload):
        items.append(payload[at : at + length])
        at += length
    return tuple(items)


def _sealed(marker: bytes, first: int, count: int, length: int, checksum: int) -> bytes:
    fields = _FIELDS.pack(marker, first, count, length, checksum)
    return fields + _CHECKSUM.pack(zlib.crc32(fields))


def _find(data: bytes, offset: int) -> Block | None:
    """Return the first sound block of ``data``, which begins at ``offset`` of the file."""
    for found in _MARKERS.finditer(data):
        at = found.start()
        if found.group() == _HEAD_MARKER:
            block = _parse(data[at : at + _HEAD_SIZE + len(PENDING)], _HEAD_MARKER, offset + at)
        else:
            block = _parse_tail(data, at, offset)
        if block is not None:
            return block
    return None


def _parse_tail(data: bytes, at: int, offset: int) -> Block | None:
    tail = _parse(data[at : at + _HEAD_SIZE] + PENDING, _TAIL_MARKER, 0)
    if tail is None:
        return None
    start = at + _HEAD_SIZE - tail.end
    if start < 0:
        return None
    head = data[at : at + _HEAD_SIZE] + data[start + _HEAD_SIZE : start + _HEAD_SIZE + 1]
    return _parse(head, _TAIL_MARKER, offset + start)


def _parse(head: bytes, marker: bytes, start: int) -> Block | None:
    """Return the block that a head and its state describe, None for a damaged head."""
    if len(head) <= _HEAD_SIZE or not head.startswith(marker):
        return None
    if _CHECKSUM.unpack_from(head, _FIELDS.size)[0] != zlib.crc32(head[: _FIELDS.size]):
        return None
    _, first, count, length, checksum = _FIELDS.unpack_from(head)
    return Block(
        start=start,
        end=start + _OVERHEAD + length,
        first=first,
        count=count,
        state=_nearest(head[_HEAD_SIZE]),
        state_at=start + _HEAD_SIZE,
        payload_at=start + _HEAD_SIZE + len(PENDING),
        length=length,
        checksum=checksum,
    )


def _nearest(state: int) -> bytes:
    bits = state.bit_count()
    if bits <= _MAX_FLIPPED_BITS:
        return PENDING
    return DONE if bits >= 8 - _MAX_FLIPPED_BITS else LOST
