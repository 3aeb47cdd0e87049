"""One file of the spool: blocks of items, appended whole and marked when they are done.

    magic | length, checksum and bytes of the context | block | block | …

A block is its state (one byte, overwritten in place when the block is done), its number of items,
the length and checksum of its payload, and the payload: the items' lengths, then the items. What
a crash cut off at the end is not a block and is never read.
"""

import os
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

_MAGIC: Final = b"sovdev-spool-1\n"
_CONTEXT_HEAD: Final = struct.Struct("<II")
_BLOCK_HEAD: Final = struct.Struct("<BIII")
_PENDING: Final = 0
_DONE: Final = b"\x01"
_FILE_MODE: Final = 0o600
_BINARY: Final = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class CorruptSegmentError(Exception):
    """The file does not hold what was written to it."""


@dataclass(frozen=True, slots=True)
class Block:
    """One block that was read: where its state is, and what it holds."""

    offset: int
    items: tuple[bytes, ...]


class Segment:
    """A file that is appended to by one process and read from its start.

    Attributes:
        context: What the items need around them to be sent, opaque here.
        size: Bytes of the file that are whole blocks.
        pending: Items in blocks that are not done.
        is_sealed: Whether nothing may be appended any more.
    """

    def __init__(self, path: Path, context: bytes) -> None:
        self.path = path
        self.context = context
        self.size = 0
        self.pending = 0
        self.is_sealed = False
        self._read_offset = 0

    @classmethod
    def create(cls, path: Path, context: bytes) -> "Segment":
        """Make a new file. Raises OSError."""
        made = cls(path, context)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, _FILE_MODE)
        try:
            head = _CONTEXT_HEAD.pack(len(context), zlib.crc32(context))
            _write_all(descriptor, _MAGIC + head + context)
        except OSError:
            with suppress(OSError):
                path.unlink()
            raise
        finally:
            os.close(descriptor)
        made.size = made._read_offset = len(_MAGIC) + len(head) + len(context)
        return made

    @classmethod
    def read(cls, path: Path) -> "Segment":
        """Read the segment of an ended process. Raises OSError and CorruptSegmentError."""
        segment = cls(path, b"")
        segment.is_sealed = True
        with path.open("rb") as file:
            segment.context = _read_context(file)
            segment.size = segment._read_offset = file.tell()
            end = os.fstat(file.fileno()).st_size
            while head := _read_head(file, end):
                state, count, length, _ = head
                file.seek(length, os.SEEK_CUR)
                segment.size = file.tell()
                segment.pending += count if state == _PENDING else 0
        return segment

    def append(self, items: Sequence[bytes]) -> None:
        """Add one block; when it cannot be written whole, nothing of it stays. Raises OSError."""
        payload = struct.pack(f"<{len(items)}I", *map(len, items)) + b"".join(items)
        head = _BLOCK_HEAD.pack(_PENDING, len(items), len(payload), zlib.crc32(payload))
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | _BINARY)
        try:
            _write_all(descriptor, head + payload)
        except OSError:
            self.is_sealed = True  # unless the torn block can be taken back
            with suppress(OSError):
                os.ftruncate(descriptor, self.size)
                self.is_sealed = False
            raise
        finally:
            os.close(descriptor)
        self.size += len(head) + len(payload)
        self.pending += len(items)

    def next_blocks(self, max_records: int, max_bytes: int) -> list[Block]:
        """Return the oldest blocks that are not done: at least one, else within the bounds.

        Raises OSError and CorruptSegmentError.
        """
        blocks: list[Block] = []
        records = size = 0
        with self.path.open("rb") as file:
            file.seek(self._read_offset)
            while head := _read_head(file, self.size):
                state, count, length, checksum = head
                offset = file.tell() - _BLOCK_HEAD.size
                if state != _PENDING:
                    file.seek(length, os.SEEK_CUR)
                    if not blocks:
                        self._read_offset = file.tell()
                    continue
                records += count
                size += length
                if blocks and (records > max_records or size > max_bytes):
                    break
                payload = file.read(length)
                if zlib.crc32(payload) != checksum:
                    break
                blocks.append(Block(offset, _split(payload, count)))
        if not blocks and self.pending:
            raise CorruptSegmentError(self.path.name)
        return blocks

    def mark_done(self, blocks: Sequence[Block]) -> None:
        """Mark blocks as done on disk, so that no later process sends them again."""
        self.pending -= sum(len(block.items) for block in blocks)
        descriptor = os.open(self.path, os.O_WRONLY | _BINARY)
        try:
            for block in blocks:
                os.lseek(descriptor, block.offset, os.SEEK_SET)
                os.write(descriptor, _DONE)
        finally:
            os.close(descriptor)


def block_size(items: Sequence[bytes]) -> int:
    """Return how many bytes the block of some items takes."""
    return _BLOCK_HEAD.size + sum(map(len, items)) + 4 * len(items)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _read_context(file: BinaryIO) -> bytes:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise CorruptSegmentError(file.name)
    head = file.read(_CONTEXT_HEAD.size)
    if len(head) < _CONTEXT_HEAD.size:
        raise CorruptSegmentError(file.name)
    length, checksum = _CONTEXT_HEAD.unpack(head)
    context = file.read(length)
    if zlib.crc32(context) != checksum:
        raise CorruptSegmentError(file.name)
    return context


def _read_head(file: BinaryIO, end: int) -> tuple[int, int, int, int] | None:
    """Return the head of the block that starts here, None when no whole block does."""
    data = file.read(_BLOCK_HEAD.size)
    if len(data) < _BLOCK_HEAD.size:
        return None
    head: tuple[int, int, int, int] = _BLOCK_HEAD.unpack(data)
    return head if file.tell() + head[2] <= end else None


def _split(payload: bytes, count: int) -> tuple[bytes, ...]:
    at = 4 * count
    items = []
    for length in struct.unpack_from(f"<{count}I", payload):
        items.append(payload[at : at + length])
        at += length
    return tuple(items)
