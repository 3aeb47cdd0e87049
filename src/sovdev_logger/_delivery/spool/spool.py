"""Undelivered items on disk until they can be sent: bounded, in order, safe across crashes.

One thread uses a spool at a time. Disk errors are not raised: they are warned about once, the items
stay with the caller, and writing is tried again after a pause.
"""

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sovdev_logger._delivery.ledger import SPOOL_FULL, SPOOL_LOST, Ledger
from sovdev_logger._delivery.spool.folder import (
    SEGMENT_SUFFIX,
    OwnedFolder,
    abandoned_folders,
    bytes_below,
    new_folder,
)
from sovdev_logger._delivery.spool.rejected import RejectedRequests
from sovdev_logger._delivery.spool.segment import Block, CorruptSegmentError, Segment, block_size
from sovdev_logger._runtime.selflog import warn_once
from sovdev_logger._settings.delivery import SpoolSettings

_MAX_SEGMENT_BYTES: Final = 4 * 1024 * 1024
_SEGMENTS_AT_LEAST: Final = 16
"""Minimum number of segments: a full spool drops at most 1/16 of its content at once."""

_MIDDLE: Final = 500_000_000_000
"""Segments are read in the order of their numbers, which start in the middle and grow both ways."""

_LARGEST_SHARE: Final = 7 / 8
"""Largest share one output may use: entries and spans cannot starve each other."""

_LARGEST_HELD_SHARE: Final = 1 / 4
"""Largest share of what is being sent: older items must not be dropped for it."""

_PAUSE_AFTER_FAILURE_SECONDS: Final = 5.0


@dataclass(slots=True)
class Spooled:
    """Items read from the spool, to be marked done in one or more parts."""

    segment: Segment
    blocks: Sequence[Block]
    items: list[bytes] = field(init=False)
    open_count: int = field(init=False)

    def __post_init__(self) -> None:
        self.items = [item for block in self.blocks for item in block.items]
        self.open_count = len(self.items)


class Spool:
    """The part of the spool that belongs to one output of this process.

    Args:
        settings: The folder that several outputs and processes share.
        name: The output's own folder below it.
        ledger: Counts spooled, recovered and lost items.
    """

    def __init__(self, settings: SpoolSettings, name: str, ledger: Ledger) -> None:
        self.settings = settings
        self._name = name
        self._parent = settings.folder / name
        self._ledger = ledger
        self._segment_bytes = min(_MAX_SEGMENT_BYTES, settings.max_bytes // _SEGMENTS_AT_LEAST)
        self._own: OwnedFolder | None = None
        self._recovered: list[OwnedFolder] = []
        self._segments: deque[Segment] = deque()
        self._total_bytes = 0
        self._rejected = RejectedRequests(settings.folder, name)
        self._first_number = self._last_number = _MIDDLE
        self._in_use: Segment | None = None
        self._usable_from = 0.0

    @property
    def is_usable(self) -> bool:
        """Whether the last write did not fail just now."""
        return time.monotonic() >= self._usable_from

    def __bool__(self) -> bool:
        return bool(self._segments)

    def recover(self) -> None:
        """Recover the segments of ended processes."""
        for folder in abandoned_folders(self._parent):
            segments = [segment for path in self._paths(folder) if (segment := _read(path))]
            if not segments:
                folder.release()
                continue
            self._recovered.append(folder)
            self._segments.extend(segments)
            pending = sum(segment.pending for segment in segments)
            self._ledger.record(recovered=pending, spooled=pending)
        self._total_bytes = bytes_below(self.settings.folder)

    def append(self, items: Sequence[bytes], context: bytes, *, in_front: bool = False) -> int:
        """Write items behind all others and return how many of them, from the first, are on disk.

        A full spool drops its oldest segments, counted.

        Args:
            items: Encoded bytes.
            context: The bytes around them in a request.
            in_front: Write them where they are read first: they are older than what is here.
        """
        written = 0
        new = None
        try:
            for part in _in_blocks(items, self._segment_bytes):
                needed = block_size(part)
                if in_front:
                    segment = new = new or self._new_segment(needed, context, in_front=True)
                    self._make_room(needed, keep=new)
                else:
                    segment = self._writable(needed, context)
                before = segment.size
                segment.append(part)
                self._total_bytes += segment.size - before
                self._ledger.record(spooled=len(part))
                written += len(part)
        except OSError as error:
            self._warn_unusable(error)
        if new is not None:
            new.is_sealed = True
        return written

    def hold(self, items: Sequence[bytes], context: bytes) -> Spooled | None:
        """Write items that are being sent; a later process would send them first.

        They are in a segment of their own, which ``take`` does not return and lack of room does not
        remove. Returns None if the disk refuses, or if they are too many for this spool.
        """
        needed = block_size(items)
        if needed > self.settings.max_bytes * _LARGEST_HELD_SHARE:
            return None
        segment = None
        try:
            segment = self._new_segment(needed, context, in_front=True)
            self._segments.remove(segment)
            segment.append(items)
            self._total_bytes += needed
            segment.is_sealed = True
            held = Spooled(segment, segment.next_blocks(len(items), needed))
        except (OSError, CorruptSegmentError) as error:
            if segment is not None:
                self._remove(segment)
            self._warn_unusable(error)
            return None
        self._ledger.record(spooled=len(items))
        return held

    def take(self, max_records: int, max_bytes: int) -> Spooled | None:
        """Return the oldest items, None without any; unreadable ones are counted as dropped."""
        while self._segments:
            segment = self._segments[0]
            try:
                blocks = segment.next_blocks(max_records, max_bytes)
            except (OSError, CorruptSegmentError) as error:
                self._warn_lost(segment, error)
                self._drop(segment, SPOOL_LOST)
                continue
            if blocks:
                self._in_use = segment
                return Spooled(segment, blocks)
            self._remove(segment)
        return None

    def done(self, spooled: Spooled, item_count: int) -> None:
        """Mark so many of the items as done."""
        spooled.open_count -= item_count
        if spooled.open_count > 0:
            return
        segment = spooled.segment
        if segment is self._in_use:
            self._in_use = None
        with suppress(OSError):  # the worst is that a later process sends them again
            segment.mark_done(spooled.blocks)
        if not segment.pending:
            self._remove(segment)

    def set_aside(self, body: bytes, suffix: str) -> Path | None:
        """Keep a copy of a rejected request for people; return its folder, None if that fails."""
        try:
            self._make_room(len(body))
            self._rejected.add(body, suffix)
        except OSError as error:
            self._warn_unusable(error)
            return None
        self._total_bytes += len(body)
        return self._rejected.folder

    def close(self) -> None:
        """Release the folders: the next process sends what they hold."""
        for folder in [*self._recovered, *([self._own] if self._own else [])]:
            folder.release()
        self._recovered, self._own = [], None
        self._segments.clear()

    def _paths(self, folder: OwnedFolder) -> list[Path]:
        with suppress(OSError):
            return list(folder.segments())
        return []

    def _writable(self, needed: int, context: bytes) -> Segment:
        """Return a segment of this process with room for a block."""
        last = self._segments[-1] if self._segments else None
        fits = last is not None and not last.is_sealed and last.context == context
        if last is not None and fits and last.size + needed <= self._segment_bytes:
            self._make_room(needed, keep=last)
            if last.path.exists():
                return last
        if last is not None:
            last.is_sealed = True
            self.forget_vanished()
        return self._new_segment(needed, context)

    def _new_segment(self, needed: int, context: bytes, *, in_front: bool = False) -> Segment:
        if self._own is not None and not self._own.path.is_dir():
            self._own.release()
            self._own = None
            self.forget_vanished()
        if self._own is None:
            self._own = new_folder(self._parent)
        self._total_bytes = bytes_below(self.settings.folder)
        self._make_room(needed + len(context))
        if in_front:
            self._first_number -= 1
        else:
            self._last_number += 1
        number = self._first_number if in_front else self._last_number
        segment = Segment.create(self._own.path / f"{number:012d}{SEGMENT_SUFFIX}", context)
        self._total_bytes += segment.size
        if in_front:
            self._segments.appendleft(segment)
        else:
            self._segments.append(segment)
        return segment

    def _make_room(self, needed: int, keep: Segment | None = None) -> None:
        """Remove the oldest until ``needed`` bytes fit: first rejected requests, then segments."""
        while self._is_over(needed) and (freed := self._rejected.remove_oldest()) is not None:
            self._total_bytes -= freed
        for segment in list(self._segments):
            if not self._is_over(needed):
                return
            if segment is not keep and segment is not self._in_use:
                self._drop(segment, SPOOL_FULL)
                warn_once(
                    f"spool-full:{self._name}",
                    f"the spool {self.settings.folder} is full and its oldest entries are dropped: "
                    "raise SOVDEV_SPOOL_MAX_BYTES, or fix the collector.",
                )
        if self._is_over(needed):
            raise SpoolFullError(self.settings.folder)

    def _is_over(self, needed: int) -> bool:
        own = sum(segment.size for segment in self._segments)
        return (
            self._total_bytes + needed > self.settings.max_bytes
            or own + needed > self.settings.max_bytes * _LARGEST_SHARE
        )

    def _drop(self, segment: Segment, reason: str) -> None:
        self._ledger.record(spooled=-segment.pending, dropped=segment.pending, reason=reason)
        self._ledger.record_loss(f"{segment.pending} {self._name} dropped: {reason}")
        self._remove(segment)

    def _remove(self, segment: Segment) -> None:
        with suppress(ValueError):
            self._segments.remove(segment)
        with suppress(OSError):
            segment.path.unlink()
        self._total_bytes -= segment.size
        parent = segment.path.parent
        for folder in [folder for folder in self._recovered if folder.path == parent]:
            if all(other.path.parent != folder.path for other in self._segments):
                folder.release()
                self._recovered.remove(folder)

    def forget_vanished(self) -> None:
        """Count the items of removed segments as dropped."""
        for segment in list(self._segments):
            if segment is not self._in_use and not segment.path.exists():
                self._drop(segment, SPOOL_LOST)

    def _warn_unusable(self, error: OSError | CorruptSegmentError) -> None:
        self._usable_from = time.monotonic() + _PAUSE_AFTER_FAILURE_SECONDS
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        warn_once(
            f"spool:{self._name}:{reason}",
            f"cannot write to the spool {self.settings.folder}: {reason}; {self._name} stay in "
            "memory meanwhile. Make room, set SOVDEV_SPOOL_DIR to a folder that can be written, "
            "or SOVDEV_SPOOL=off.",
        )

    def _warn_lost(self, segment: Segment, error: Exception) -> None:
        warn_once(
            f"spool-lost:{self._name}",
            f"{segment.pending} {self._name} in {segment.path} cannot be read "
            f"({type(error).__name__}) and are dropped: check the disk, and who else cleans up "
            "in SOVDEV_SPOOL_DIR.",
        )


class SpoolFullError(OSError):
    """The spool is full, and this output has nothing to drop."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"the spool {folder} is full")


def _read(path: Path) -> Segment | None:
    """Return a segment of an ended process; one with nothing to send is removed."""
    try:
        segment = Segment.read(path)
    except CorruptSegmentError:
        segment = None  # it was being made when the process ended: it holds nothing
    except OSError:
        return None
    if segment is not None and segment.pending:
        return segment
    with suppress(OSError):
        path.unlink()
    return None


def _in_blocks(items: Sequence[bytes], max_bytes: int) -> list[list[bytes]]:
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
