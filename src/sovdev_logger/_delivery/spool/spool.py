"""What could not be sent, on disk, until it can be: bounded, in order, safe across crashes.

One thread uses a spool at a time. Nothing here raises: what the disk refuses is said once, stays
with the caller, and is tried again after a pause.
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
"""A full spool gives up one segment, which is at most this part of it."""

_MIDDLE: Final = 500_000_000_000
"""Segments are read in the order of their numbers, which grow both ways from here."""

_LARGEST_SHARE: Final = 7 / 8
"""What one output may take: entries must not keep spans from the disk, or the other way round."""

_PAUSE_AFTER_FAILURE_SECONDS: Final = 5.0


@dataclass(slots=True)
class Spooled:
    """Items that were read from the spool and are to be told done, in whatever parts."""

    segment: Segment
    blocks: Sequence[Block]
    items: list[bytes] = field(init=False)
    open_count: int = field(init=False)

    def __post_init__(self) -> None:
        self.items = [item for block in self.blocks for item in block.items]
        self.open_count = len(self.items)


class Spool:
    """The part of the spool that one output of this process owns.

    Args:
        settings: The folder that several outputs and processes share.
        name: The output's own folder below it.
        ledger: Gets what is spooled, recovered and lost.
    """

    def __init__(self, settings: SpoolSettings, name: str, ledger: Ledger) -> None:
        self.settings = settings
        self._name = name
        self._parent = settings.folder / name
        self._ledger = ledger
        self._segment_bytes = min(_MAX_SEGMENT_BYTES, settings.max_bytes // _SEGMENTS_AT_LEAST)
        self._own: OwnedFolder | None = None
        self._adopted: list[OwnedFolder] = []
        self._segments: deque[Segment] = deque()
        self._total_bytes = 0
        self._rejected = RejectedRequests(settings.folder, name)
        self._first_number = self._last_number = _MIDDLE
        self._in_use: Segment | None = None
        self._usable_from = 0.0

    @property
    def is_usable(self) -> bool:
        """Whether writing has not failed just now."""
        return time.monotonic() >= self._usable_from

    def __bool__(self) -> bool:
        return bool(self._segments)

    def recover(self) -> None:
        """Take over what ended processes left."""
        for folder in abandoned_folders(self._parent):
            segments = [one for path in self._paths(folder) if (one := _read(path))]
            if not segments:
                folder.release()
                continue
            self._adopted.append(folder)
            self._segments.extend(segments)
            found = sum(segment.pending for segment in segments)
            self._ledger.record(recovered=found, spooled=found)
        self._total_bytes = bytes_below(self.settings.folder)

    def append(self, items: Sequence[bytes], context: bytes, *, in_front: bool = False) -> int:
        """Write items behind everything else and return how many, from the first, are on disk.

        The oldest make room where there is too little, and are counted as dropped.

        Args:
            items: Finished bytes.
            context: What they need around them to be sent.
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
            self._say_unusable(error)
        if new is not None:
            new.is_sealed = True
        return written

    def take(self, max_records: int, max_bytes: int) -> Spooled | None:
        """Return the oldest items, None without any; unreadable ones are counted as lost."""
        while self._segments:
            segment = self._segments[0]
            try:
                blocks = segment.next_blocks(max_records, max_bytes)
            except (OSError, CorruptSegmentError) as error:
                self._say_lost(segment, error)
                self._drop(segment, SPOOL_LOST)
                continue
            if blocks:
                self._in_use = segment
                return Spooled(segment, blocks)
            self._remove(segment)
        return None

    def done(self, spooled: Spooled, item_count: int) -> None:
        """Tell that so many items of what was taken need no further sending."""
        spooled.open_count -= item_count
        if spooled.open_count > 0:
            return
        segment = spooled.segment
        self._in_use = None
        with suppress(OSError):  # the worst is that a later process sends them again
            segment.mark_done(spooled.blocks)
        if not segment.pending:
            self._remove(segment)

    def set_aside(self, body: bytes, suffix: str) -> Path | None:
        """Keep what a server refused for good, for people to look at; return the folder."""
        try:
            self._make_room(len(body))
            self._rejected.add(body, suffix)
        except OSError as error:
            self._say_unusable(error)
            return None
        self._total_bytes += len(body)
        return self._rejected.folder

    def close(self) -> None:
        """Leave what is there to the next process."""
        for folder in [*self._adopted, *([self._own] if self._own else [])]:
            folder.release()
        self._adopted, self._own = [], None
        self._segments.clear()

    def _paths(self, folder: OwnedFolder) -> list[Path]:
        with suppress(OSError):
            return list(folder.segments())
        return []

    def _writable(self, needed: int, context: bytes) -> Segment:
        """Return a segment of our own with room for a block, within the bound of the whole."""
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
        """Give up the oldest until ``needed`` bytes fit: first what was refused, then entries."""
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
                    "raise SOVDEV_SPOOL_MAX_BYTES, or mend the collector.",
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
        self._ledger.note(f"{segment.pending} {self._name} dropped: {reason}")
        self._remove(segment)

    def _remove(self, segment: Segment) -> None:
        with suppress(ValueError):
            self._segments.remove(segment)
        with suppress(OSError):
            segment.path.unlink()
        self._total_bytes -= segment.size
        for folder in [one for one in self._adopted if one.path == segment.path.parent]:
            if all(one.path.parent != folder.path for one in self._segments):
                folder.release()
                self._adopted.remove(folder)

    def forget_vanished(self) -> None:
        """Count as lost what somebody removed."""
        for segment in list(self._segments):
            if segment is not self._in_use and not segment.path.exists():
                self._drop(segment, SPOOL_LOST)

    def _say_unusable(self, error: OSError) -> None:
        self._usable_from = time.monotonic() + _PAUSE_AFTER_FAILURE_SECONDS
        reason = error.strerror or str(error)
        warn_once(
            f"spool:{self._name}:{reason}",
            f"cannot write to the spool {self.settings.folder}: {reason}; {self._name} stay in "
            "memory meanwhile. Make room, set SOVDEV_SPOOL_DIR to a folder that can be written, "
            "or SOVDEV_SPOOL=off.",
        )

    def _say_lost(self, segment: Segment, error: Exception) -> None:
        warn_once(
            f"spool-lost:{self._name}",
            f"{segment.pending} {self._name} in {segment.path} cannot be read "
            f"({type(error).__name__}) and are dropped: check the disk, and who else cleans up "
            "in SOVDEV_SPOOL_DIR.",
        )


class SpoolFullError(OSError):
    """The spool has no room, and nothing of ours to give up for it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"the spool {folder} is full")


def _read(path: Path) -> Segment | None:
    """Return a segment of an ended process; one without anything to send is removed."""
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
    """Split items so that each block stays within a segment; a larger item has its own."""
    blocks: list[list[bytes]] = []
    size = max_bytes
    for item in items:
        if size + len(item) > max_bytes:
            blocks.append([])
            size = 0
        blocks[-1].append(item)
        size += len(item)
    return blocks
