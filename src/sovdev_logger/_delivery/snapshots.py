"""A backlog for items of which each holds the earlier ones: exports of cumulative metrics."""

import math

from sovdev_logger._delivery.backlog import Backlog, Batch
from sovdev_logger._delivery.results import SendResult


class SnapshotBacklog(Backlog):
    """Keeps the latest item of this process, and hands it out before what others left.

    So what a server does not accept of ended processes holds nothing back that is new.
    """

    def add(self, item: bytes, *, is_blocked: bool) -> None:
        """Take an item that supersedes the earlier ones; on disk if it cannot be sent at once."""
        self._queue.put(item)
        latest = self._take_from_queue()
        if latest is None:
            return
        earlier = [batch for batch in self._waiting if _is_own(batch)]
        is_on_disk = any(batch.spooled is not None for batch in earlier)
        if is_blocked or is_on_disk:
            self.hold(latest)
        for batch in earlier:
            # A disk that refuses the latest keeps the one that it has.
            if latest.spooled is not None or batch.spooled is None:
                self._waiting.remove(batch)
                self._supersede(batch)
        self._waiting.appendleft(latest)

    def keep(self, batch: Batch, result: SendResult) -> None:
        """Keep a failed batch unless a later one holds it; what others left goes to the end."""
        if _is_own(batch) and any(map(_is_own, self._waiting)):
            self._supersede(batch)
            return
        if result.may_have_arrived:
            self._ledger.record(repeated=len(batch.items))
        self._check_file_exists(batch)
        self.hold(batch)
        if _is_own(batch):
            self._waiting.appendleft(batch)
        else:
            self._waiting.append(batch)

    def _supersede(self, batch: Batch) -> None:
        count = len(batch.items)
        self._ledger.record(superseded=count, spooled=-count if batch.spooled else 0)
        if batch.spooled is not None and self._spool is not None:
            self._spool.done(batch.spooled, count)


def _is_own(batch: Batch) -> bool:
    return batch.put_at != math.inf
