"""Undelivered items on disk until they can be sent: bounded, in order, safe across crashes.

One thread uses a spool at a time. Disk errors are not raised. What cannot be written stays with the
caller; what cannot be read stays on disk; both are warned about once and tried again after a pause.
Only a file that was removed, or whose content is proven wrong, costs items, and they are counted.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from sovdev_logger._delivery.ledger import SPOOL_FULL, Ledger
from sovdev_logger._delivery.spool.blocks import encoded_size, in_blocks
from sovdev_logger._delivery.spool.file_head import encode_head
from sovdev_logger._delivery.spool.folder import (
    DAMAGED,
    REJECTED,
    OwnedFolder,
    bytes_below,
    has_vanished,
    new_folder,
)
from sovdev_logger._delivery.spool.kept_files import KeptFiles
from sovdev_logger._delivery.spool.notices import Notices
from sovdev_logger._delivery.spool.reader import SegmentReader, Spooled
from sovdev_logger._delivery.spool.segment import SUFFIX, Segment
from sovdev_logger._delivery.spool.segments import Segments
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


class Spool:
    """The part of the spool that belongs to one output of this process.

    Args:
        settings: The folder that several outputs and processes share.
        name: The output's own folder below it.
        ledger: Counts spooled, recovered and lost items.
    """

    def __init__(self, settings: SpoolSettings, name: str, ledger: Ledger) -> None:
        self.settings = settings
        self._parent = settings.folder / name
        self._ledger = ledger
        self._notices = Notices(name, settings.folder)
        self._segment_bytes = min(_MAX_SEGMENT_BYTES, settings.max_bytes // _SEGMENTS_AT_LEAST)
        self._own: OwnedFolder | None = None
        self._rejected = KeptFiles(settings.folder / REJECTED, name)
        self._damaged = KeptFiles(settings.folder / DAMAGED, name)
        self._segments = Segments(name, ledger, self._notices, self._damaged)
        self._first_number = self._last_number = _MIDDLE
        self._reader = SegmentReader(settings.folder, name, self._segments, ledger, self._notices)
        self._usable_from = 0.0

    @property
    def is_usable(self) -> bool:
        """Whether the last write did not fail just now."""
        return time.monotonic() >= self._usable_from

    @property
    def due_at(self) -> float:
        """When there is something to read: 0.0 for now, infinity for never."""
        return self._reader.due_at

    @property
    def failed_reads(self) -> int:
        """How many attempts to read have failed for the moment."""
        return self._reader.failed_attempts

    @property
    def unreadable_count(self) -> int:
        """How many items are known to be in files that cannot be read for the moment."""
        return self._reader.unreadable_count

    @property
    def has_more(self) -> bool:
        """Whether ended processes left more than was recovered so far."""
        return self._reader.has_more

    def __bool__(self) -> bool:
        return bool(self._segments.in_order)

    def try_to_read_again(self) -> None:
        """Try at once what could not be read."""
        self._reader.try_again()

    def recover(self) -> None:
        """Recover the segments of ended processes."""
        self._reader.recover()

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
            for part in in_blocks(items, self._segment_bytes):
                needed = encoded_size(part)
                if in_front:
                    segment = new = new or self._new_segment(needed, context, in_front=True)
                    self._make_room(needed, keep=new)
                else:
                    segment = self._writable(needed, context)
                before = segment.size
                segment.append(part)
                self._segments.disk_bytes += segment.size - before
                self._ledger.record(spooled=len(part))
                written += len(part)
        except OSError as error:
            self._warn_unusable(error)
        if new is not None:
            new.is_sealed = True
        for segment in [new] if new is not None else list(self._segments.in_order)[-1:]:
            if segment.is_sealed and segment.is_scanned and not segment.pending:
                self._segments.remove(segment)  # else each failure would leave one behind
        return written

    def hold(self, items: Sequence[bytes], context: bytes) -> Spooled | None:
        """Write items that are being sent; a later process would send them first.

        They are in a segment of their own, which ``take`` does not return and lack of room does not
        remove. Returns None if the disk refuses, or if they are too many for this spool.
        """
        needed = encoded_size(items)
        if needed > self.settings.max_bytes * _LARGEST_HELD_SHARE:
            return None
        segment = None
        try:
            segment = self._new_segment(needed, context, in_front=True)
            self._segments.in_order.remove(segment)
            block = segment.append(items)
        except OSError as error:
            if segment is not None:
                self._segments.remove(segment)
            self._warn_unusable(error)
            return None
        segment.is_sealed = True
        self._segments.disk_bytes += needed
        self._ledger.record(spooled=len(items))
        return Spooled(segment, [block], context)

    def take(self, max_records: int, max_bytes: int) -> Spooled | None:
        """Return the oldest items that can be read now, None without any; damaged ones are dropped.

        A file that cannot be read for the moment is passed over, and tried again after a pause.
        """
        return self._reader.take(max_records, max_bytes)

    def done(self, spooled: Spooled, item_count: int) -> None:
        """Mark so many of the items as done."""
        spooled.open_count -= item_count
        if spooled.open_count > 0:
            return
        segment = spooled.segment
        if segment is self._segments.in_use:
            self._segments.in_use = None
        segment.settle(spooled.blocks)
        if not segment.pending:
            self._segments.remove(segment)
            return
        with suppress(OSError):  # they are marked with the next, or at the end
            segment.write_marks()

    def set_aside(self, body: bytes, suffix: str) -> Path | None:
        """Keep a copy of a rejected request for people; return its folder, None if that fails."""
        try:
            self._make_room_among_kept(len(body))
            if self._segments.disk_bytes + len(body) > self.settings.max_bytes:
                raise SpoolFullError(self.settings.folder)
            self._rejected.add(body, suffix)
        except OSError as error:
            self._notices.cannot_set_aside(error)
            return None
        self._segments.disk_bytes += len(body)
        return self._rejected.folder

    def forget_vanished(self) -> None:
        """Count the items of removed segments as dropped."""
        self._segments.forget_vanished()

    def close(self) -> None:
        """Release the folders: the next process sends what they hold."""
        self._segments.leave()
        if self._own is not None:
            self._own.release()
            self._own = None

    def _writable(self, needed: int, context: bytes) -> Segment:
        """Return a segment of this process with room for a block."""
        last = self._segments.in_order[-1] if self._segments.in_order else None
        fits = last is not None and not last.is_sealed and last.context == context
        if last is not None and fits and last.size + needed <= self._segment_bytes:
            self._make_room(needed, keep=last)
            if not has_vanished(last.path) and not self._has_lost_its_folder:
                return last
        if last is not None:
            last.is_sealed = True
            self._segments.forget_vanished()
        return self._new_segment(needed, context)

    def _new_segment(self, needed: int, context: bytes, *, in_front: bool = False) -> Segment:
        if self._own is not None and self._has_lost_its_folder:
            self._own.release()
            self._own = None
            self._segments.forget_vanished()
        if self._own is None:
            self._own = new_folder(self._parent)
        self._segments.disk_bytes = bytes_below(self.settings.folder)
        self._make_room(needed + len(encode_head(context)))
        if in_front:
            self._first_number -= 1
        else:
            self._last_number += 1
        number = self._first_number if in_front else self._last_number
        segment = Segment.create(self._own.path / f"{number:012d}{SUFFIX}", context)
        self._segments.disk_bytes += segment.size
        if in_front:
            self._segments.in_order.appendleft(segment)
        else:
            self._segments.in_order.append(segment)
        return segment

    @property
    def _has_lost_its_folder(self) -> bool:
        """Whether others may take over this process's folder: somebody removed what locks it."""
        return self._own is None or self._own.has_vanished

    def _warn_unusable(self, error: OSError) -> None:
        self._usable_from = time.monotonic() + _PAUSE_AFTER_FAILURE_SECONDS
        self._notices.cannot_write(error)

    def _make_room(self, needed: int, keep: Segment | None = None) -> None:
        """Remove the oldest until ``needed`` bytes fit: first what is kept for people."""
        self._make_room_among_kept(needed)
        for segment in list(self._segments.in_order):
            if not self._is_over(needed):
                return
            if segment is not keep and segment is not self._segments.in_use and segment.is_scanned:
                self._segments.drop(segment, SPOOL_FULL)
                self._notices.full()
        if self._is_over(needed):
            raise SpoolFullError(self.settings.folder)

    def _make_room_among_kept(self, needed: int) -> None:
        for kept in (self._rejected, self._damaged):
            while self._segments.disk_bytes + needed > self.settings.max_bytes:
                freed = kept.remove_oldest()
                if freed is None:
                    break
                self._segments.disk_bytes -= freed

    def _is_over(self, needed: int) -> bool:
        own = self._segments.own_bytes
        return (
            self._segments.disk_bytes + needed > self.settings.max_bytes
            or own + needed > self.settings.max_bytes * _LARGEST_SHARE
        )


class SpoolFullError(OSError):
    """The spool is full, and this output has nothing to drop."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"the spool {folder} is full")
