"""One file of the spool: a head and blocks of items, appended whole and marked when they are done.

What a crash cut off at the end is not a block and is never read.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from sovdev_logger._delivery.spool.blocks import (
    DONE,
    LOST,
    PENDING,
    STATE_OFFSET,
    Block,
    BlockFormat,
    Format2,
    encode,
)
from sovdev_logger._delivery.spool.blocks_1 import Format1
from sovdev_logger._delivery.spool.file_head import (
    FORMAT,
    NewerFormatError,
    encode_head,
    is_begun,
    read_head,
)

SUFFIX: Final = f".segment{FORMAT}"
"""With the format, because version 0.1.0, whose files end with ``.segment``, deletes what it cannot
read."""

_ANY_SUFFIX: Final = re.compile(r"\.segment(\d{0,4})$")

_FILE_MODE: Final = 0o600
_BINARY: Final = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_FORMATS: Final[dict[int, BlockFormat]] = {1: Format1(), FORMAT: Format2()}


@dataclass(frozen=True, slots=True)
class Items:
    """The items of one block, and where its state is."""

    state_at: int
    items: tuple[bytes, ...]


class Segment:
    """A file that is appended to by one process and read from its start.

    Attributes:
        context: What the items need around them to be sent, opaque here; None when it is damaged.
        size: Bytes of the file that are whole blocks.
        pending: Items in blocks that are not done.
        is_sealed: Whether nothing may be appended any more.
        is_scanned: Whether what was in the file is known.
        is_damaged: Whether something in the file is not what was written.
    """

    def __init__(self, path: Path, context: bytes | None = None) -> None:
        self.path = path
        self.context = context
        self.size = 0
        self.pending = 0
        self.is_sealed = True
        self.is_scanned = False
        self.is_damaged = False
        self._format = _FORMATS.get(format_of(path) or FORMAT, _FORMATS[FORMAT])
        self._appended = 0
        self._read_at = self._read_first = 0  # the first block that is not done
        self._unmarked: dict[int, tuple[bytes, int]] = {}

    @classmethod
    def create(cls, path: Path, context: bytes) -> "Segment":
        """Make a new file. Raises OSError."""
        made = cls(path, context)
        head = encode_head(context)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
        try:
            _write_and_close(os.open(path, flags, _FILE_MODE), head)
        except FileExistsError:
            raise
        except OSError:
            with suppress(OSError):
                path.unlink()
            raise
        made.size = made._read_at = len(head)
        made.is_sealed, made.is_scanned = False, True
        return made

    @property
    def unmarked_count(self) -> int:
        """How many items are done, and not yet marked so on disk."""
        return sum(count for _, count in self._unmarked.values())

    def scan(self) -> None:
        """Read what an ended process left. Raises OSError and NewerFormatError."""
        with self.path.open("rb") as file:
            self.size = end = os.fstat(file.fileno()).st_size
            head = read_head(file, end)
            if head is None and (format_of(self.path) or 0) > FORMAT:
                raise NewerFormatError(str(format_of(self.path)))
            if head is not None:
                number, self.context, start = head
                self._read_at = min(start, end)
                self._format = _FORMATS[number]
            size, pending, is_damaged = self._read_at, 0, False
            for block in self._blocks(file, end):
                size = block.end
                pending += block.count if block.state == PENDING else 0
                is_damaged = is_damaged or block.state_at is None or block.state == LOST
            if head is None:
                is_damaged = size > 0 or not is_begun(file, end)
            else:
                file.seek(size)
                is_damaged = is_damaged or not self._format.is_cut_off(file.read(64))
        self.size, self.pending, self.is_damaged = size, pending, is_damaged
        self.is_scanned = True

    def append(self, items: Sequence[bytes]) -> Items:
        """Add one block; when it cannot be written whole, nothing of it stays. Raises OSError."""
        data = encode(items, self._appended)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | _BINARY)
        try:
            _write_and_close(descriptor, data)
        except OSError:
            self.is_sealed = True  # unless the torn block can be taken back
            with suppress(OSError):
                os.truncate(self.path, self.size)
                self.is_sealed = False
            raise
        block = Items(self.size + STATE_OFFSET, tuple(items))
        self.size += len(data)
        self.pending += len(items)
        self._appended += len(items)
        return block

    def take(self, max_records: int, max_bytes: int) -> tuple[list[Items], int]:
        """Return the oldest blocks that are not done, and how many items before them are lost.

        At least one block, further ones within the bounds; none when nothing is left. Raises
        OSError.
        """
        taken: list[Items] = []
        lost: list[Block] = []
        passed: Block | None = None
        records = size = 0
        with self.path.open("rb") as file:
            for block in self._blocks(file, self.size):
                if block.state != PENDING or block.state_at in self._unmarked:
                    if not taken:
                        passed = block
                    continue
                records += block.count
                size += block.length
                if taken and (records > max_records or size > max_bytes):
                    break
                items = block.read_items(file)
                if items is not None and block.state_at is not None:
                    taken.append(Items(block.state_at, items))
                elif taken:
                    break  # it is the next call's first
                else:
                    records = size = 0
                    lost.append(block)
                    passed = block
        if passed is not None:
            self._read_at, self._read_first = passed.end, passed.first + passed.count
        missing = sum(block.count for block in lost) if taken else self.pending
        missing = min(missing, self.pending)
        self.pending -= missing
        self.is_damaged = self.is_damaged or bool(lost) or bool(missing)
        for block in lost:
            if block.state_at is not None:
                self._unmarked[block.state_at] = (LOST, 0)
        with suppress(OSError):  # else a later process finds the damage again
            self.write_marks()
        return taken, missing

    def settle(self, blocks: Sequence[Items]) -> None:
        """Regard blocks as done: they are not read again here."""
        for block in blocks:
            self._unmarked[block.state_at] = (DONE, len(block.items))
            self.pending -= len(block.items)

    def write_marks(self) -> None:
        """Mark blocks on disk, so that no later process sends them again. Raises OSError."""
        if not self._unmarked:
            return
        descriptor = os.open(self.path, os.O_WRONLY | _BINARY)
        try:
            for at, (state, _) in list(self._unmarked.items()):
                os.lseek(descriptor, at, os.SEEK_SET)
                os.write(descriptor, self._format.mark(state))
                del self._unmarked[at]
        finally:
            os.close(descriptor)

    def _blocks(self, file: BinaryIO, end: int) -> Iterator[Block]:
        at, first = self._read_at, self._read_first
        while (block := self._format.next_block(file, at, first, end)) is not None:
            yield block
            at, first = block.end, block.first + block.count


def format_of(path: Path) -> int | None:
    """Return the number of the format by the name of a file; None if it is not the spool's."""
    found = _ANY_SUFFIX.search(path.name)
    return int(found[1] or 1) if found else None


def _write_and_close(descriptor: int, data: bytes) -> None:
    """Write all; a network file system may refuse what was written only when it is closed."""
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        with suppress(OSError):
            os.close(descriptor)
        raise
    os.close(descriptor)
