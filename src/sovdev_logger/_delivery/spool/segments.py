"""The segments that this process has for one output, in order, and the folders they are in.

It knows how a segment ends: sent, dropped to make room, removed by somebody, or damaged.
"""

from collections import deque
from contextlib import suppress
from pathlib import Path

from sovdev_logger._delivery.ledger import SPOOL_LOST, Ledger
from sovdev_logger._delivery.spool.folder import OwnedFolder, has_vanished
from sovdev_logger._delivery.spool.kept_files import KeptFiles
from sovdev_logger._delivery.spool.notices import Notices
from sovdev_logger._delivery.spool.segment import Segment


class Segments:
    """Segments, the oldest first.

    Args:
        name: What the items are, in the plural.
        ledger: Counts lost items.
        notices: Says what is lost.
        damaged: Where damaged files are kept.

    Attributes:
        in_order: The segments.
        stalled: Those of them that could not be read for the moment.
        in_use: The one that something is being sent from.
        disk_bytes: All files of the spool together, as far as is known.
    """

    def __init__(self, name: str, ledger: Ledger, notices: Notices, damaged: KeptFiles) -> None:
        self.in_order: deque[Segment] = deque()
        self.stalled: set[Segment] = set()
        self.in_use: Segment | None = None
        self.disk_bytes = 0
        self._name = name
        self._ledger = ledger
        self._notices = notices
        self._damaged = damaged
        self._folders: list[OwnedFolder] = []
        self._newer: dict[Path, tuple[str, int]] = {}
        self._finished: list[Segment] = []  # their files could not be removed yet

    @property
    def own_bytes(self) -> int:
        """The size of these segments."""
        return sum(segment.size for segment in self.in_order)

    @property
    def folder_count(self) -> int:
        """How many folders of ended processes this one holds."""
        return len(self._folders)

    def take_over(self, folder: OwnedFolder, segments: list[Segment]) -> None:
        """Add what an ended process left; the folder is released when nothing of it is left."""
        self._folders.append(folder)
        self.in_order.extend(segments)
        self._release_if_unused(folder)

    def lose(self, segment: Segment, count: int) -> None:
        """Count items of a damaged segment as dropped."""
        self._ledger.record(spooled=-count, dropped=count, reason=SPOOL_LOST)
        self._ledger.record_loss(f"{count} {self._name} dropped: {SPOOL_LOST}")
        self._notices.damaged(segment.path, count)

    def drop(self, segment: Segment, reason: str) -> None:
        """Remove a segment and count what it holds as dropped."""
        count, segment.pending = segment.pending, 0
        if count:
            self._ledger.record(spooled=-count, dropped=count, reason=reason)
            self._ledger.record_loss(f"{count} {self._name} dropped: {reason}")
        segment.is_damaged = False  # not kept
        self.remove(segment)

    def drop_vanished(self, segment: Segment) -> None:
        """Count what was in a segment that somebody removed as dropped."""
        self._notices.vanished(segment.path, segment.pending)
        self.drop(segment, SPOOL_LOST)

    def forget_vanished(self) -> None:
        """Look for segments that somebody removed."""
        for segment in list(self.in_order):
            if segment is not self.in_use and has_vanished(segment.path):
                self.drop_vanished(segment)

    def remove(self, segment: Segment) -> None:
        """Remove a segment that holds nothing to be sent; a damaged one is kept for people."""
        self._finished.append(segment)
        self._remove_finished()
        self.forget(segment)

    def forget(self, segment: Segment) -> None:
        """Leave the file of a segment to others."""
        with suppress(ValueError):
            self.in_order.remove(segment)
        self.stalled.discard(segment)
        for folder in [one for one in self._folders if one.path == segment.path.parent]:
            self._release_if_unused(folder)

    def leave_to_newer(self, segment: Segment, version: str) -> None:
        """Leave a file where it is for the newer version that wrote it."""
        self._newer[segment.path] = (version, segment.size)
        self.forget(segment)

    def report_newer(self) -> None:
        """Say what is left to a newer version; unless it is what was said before."""
        for path in [path for path in self._newer if has_vanished(path)]:
            del self._newer[path]  # it ran meanwhile
        for version in sorted({version for version, _ in self._newer.values()}):
            sizes = [size for other, size in self._newer.values() if other == version]
            self._notices.newer(version, len(sizes), sum(sizes))
            self._ledger.record_loss(f"{len(sizes)} files of the spool need a newer version")

    def leave(self) -> None:
        """Leave everything to the next process."""
        self._remove_finished()
        for segment in (*self.in_order, *self._finished):
            try:
                segment.write_marks()
            except OSError:
                # The next process sends them again.
                self._ledger.record(repeated=segment.unmarked_count)
        for folder in self._folders:
            folder.release()
        self._folders.clear()
        self._finished.clear()
        self.in_order.clear()
        self.stalled.clear()

    def _remove_finished(self) -> None:
        for segment in list(self._finished):
            try:
                self._remove_file(segment)
            except OSError:
                with suppress(OSError):
                    segment.write_marks()
                continue  # it is tried again with the next
            self._finished.remove(segment)

    def _remove_file(self, segment: Segment) -> None:
        with suppress(FileNotFoundError, NotADirectoryError):
            if segment.is_damaged:
                self._notices.damaged(segment.path, None)
                self._damaged.move_here(segment.path)
                return
            segment.path.unlink()
        self.disk_bytes -= segment.size

    def _release_if_unused(self, folder: OwnedFolder) -> None:
        left = (*self.in_order, *self._finished)
        if folder in self._folders and all(one.path.parent != folder.path for one in left):
            folder.release()
            self._folders.remove(folder)
