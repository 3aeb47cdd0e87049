"""Reads the segments of an output, its own and those that ended processes left.

What cannot be read for the moment is passed over and tried again after a pause, for as long as it
takes: only a file that was removed, or whose content is proven wrong, costs items.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sovdev_logger._delivery.ledger import Ledger
from sovdev_logger._delivery.spool.file_head import NewerFormatError
from sovdev_logger._delivery.spool.folder import (
    bytes_below,
    folders_below,
    is_of_another_user,
    try_lock,
)
from sovdev_logger._delivery.spool.notices import Notices, reason_of
from sovdev_logger._delivery.spool.segment import Items, Segment
from sovdev_logger._delivery.spool.segments import Segments

_MIN_PAUSE_SECONDS: Final = 1.0
_MAX_PAUSE_SECONDS: Final = 30.0

MAX_FOLDERS: Final = 32
"""Folders of ended processes that are taken over at a time: the lock on each is a descriptor."""


@dataclass(slots=True)
class Spooled:
    """Items read from the spool, to be marked done in one or more parts."""

    segment: Segment
    blocks: Sequence[Items]
    context: bytes
    items: list[bytes] = field(init=False)
    open_count: int = field(init=False)

    def __post_init__(self) -> None:
        self.items = [item for block in self.blocks for item in block.items]
        self.open_count = len(self.items)


class SegmentReader:
    """Reads the segments of one output.

    Args:
        folder: The folder of the spool.
        name: The output's own folder below it.
        segments: The segments; those of ended processes are added.
        ledger: Counts what is recovered.
        notices: Says what cannot be read.

    Attributes:
        failed_attempts: How often something could not be read for the moment.
        has_more: Whether there may be more folders of ended processes than were taken over.
    """

    def __init__(
        self, folder: Path, name: str, segments: Segments, ledger: Ledger, notices: Notices
    ) -> None:
        self.failed_attempts = 0
        self._folder = folder
        self._parent = folder / name
        self._segments = segments
        self._ledger = ledger
        self._notices = notices
        self._has_to_recover = False
        self.has_more = False
        self._again_at = 0.0
        self._pause = 0.0

    @property
    def due_at(self) -> float:
        """When there is something to read: 0.0 for now, infinity for never."""
        stalled = len(self._segments.stalled)
        if len(self._segments.in_order) > stalled or self.has_more:
            return 0.0
        return self._again_at if stalled or self._has_to_recover else math.inf

    @property
    def unreadable_count(self) -> int:
        """How many items are known to be in files that cannot be read for the moment."""
        return sum(segment.pending for segment in tuple(self._segments.stalled))

    def try_again(self) -> None:
        """Try at once what could not be read."""
        self._again_at = self._pause = 0.0

    def recover(self) -> None:
        """Recover the segments of ended processes, of the oldest folders first."""
        self._has_to_recover = self.has_more = False
        try:
            for path in folders_below(self._parent):
                if self._segments.folder_count >= MAX_FOLDERS:
                    self.has_more = True
                    break
                self._take_over(path)
            self._segments.disk_bytes = bytes_below(self._folder)
        except OSError as error:
            self._recover_later(error)
        self._segments.report_newer()

    def take(self, max_records: int, max_bytes: int) -> Spooled | None:
        """Return the oldest items that can be read now, None without any; damaged ones are dropped.

        A file that cannot be read for the moment is passed over, and tried again after a pause.
        """
        found = self._take(max_records, max_bytes)
        if found is None and self.has_more:
            self.recover()
            found = self._take(max_records, max_bytes)
            self.has_more = self.has_more and found is not None  # else at the next recovery
        return found

    def _take(self, max_records: int, max_bytes: int) -> Spooled | None:
        stalled = self._segments.stalled
        is_due = time.monotonic() >= self._again_at
        if is_due and self._has_to_recover:
            self.recover()
        elif is_due and not stalled:
            self._pause = 0.0
        for segment in tuple(self._segments.in_order):
            if segment in stalled and not is_due:
                continue
            if not segment.is_scanned and not self._scan(segment):
                continue
            try:
                blocks, lost = segment.take(max_records, max_bytes)
            except (FileNotFoundError, NotADirectoryError):
                self._segments.drop_vanished(segment)
                continue
            except (OSError, MemoryError) as error:
                self._stall(segment, error)
                continue
            stalled.discard(segment)
            if lost:
                self._segments.lose(segment, lost)
            if blocks and segment.context is not None:
                self._segments.in_use = segment
                return Spooled(segment, blocks, segment.context)
            self._segments.remove(segment)
        return None

    def _take_over(self, path: Path) -> None:
        folder = None
        try:
            folder = try_lock(path)
            segments = [Segment(one) for one in folder.segments()] if folder is not None else []
        except (FileNotFoundError, NotADirectoryError):
            return  # it has just gone, or is a file of somebody's
        except OSError as error:
            if folder is not None:
                folder.release()
            if not isinstance(error, PermissionError) or not is_of_another_user(path):
                self._recover_later(error)
            return
        if folder is not None:
            self._segments.take_over(folder, segments)
            for segment in segments:
                self._scan(segment)

    def _scan(self, segment: Segment) -> bool:
        """Find out what an ended process left in a file; return whether there is something."""
        try:
            segment.scan()
        except (FileNotFoundError, NotADirectoryError):
            self._segments.forget(segment)
            return False
        except (OSError, MemoryError) as error:
            self._stall(segment, error)
            return False
        except NewerFormatError as error:
            self._segments.leave_to_newer(segment, str(error))
            return False
        self._ledger.record(recovered=segment.pending, spooled=segment.pending)
        if segment.context is None and segment.pending:
            count, segment.pending = segment.pending, 0
            self._segments.lose(segment, count)
        if not segment.pending:
            self._segments.remove(segment)
        return bool(segment.pending)

    def _stall(self, segment: Segment, error: OSError | MemoryError) -> None:
        self._segments.stalled.add(segment)
        self._read_later(error)

    def _recover_later(self, error: OSError) -> None:
        self._has_to_recover = True
        self._read_later(error)

    def _read_later(self, error: OSError | MemoryError) -> None:
        now = time.monotonic()
        if now >= self._again_at:  # else it is the same attempt
            self._pause = min(2 * self._pause or _MIN_PAUSE_SECONDS, _MAX_PAUSE_SECONDS)
            self._again_at = now + self._pause
            self.failed_attempts += 1
        self._ledger.record_loss(f"the spool cannot be read: {reason_of(error)}")
        self._notices.cannot_read(error)
