"""The base of every output: a stdlib handler that parks re-entrant entries and never raises."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from sovdev_logger._delivery.ledger import Counts, Ledger
from sovdev_logger._delivery.status import OutputStatus
from sovdev_logger._entry.entry import Entry
from sovdev_logger._entry.sample_rate import NOT_SAMPLED
from sovdev_logger._entry.stdlib_records import ENTRY_ATTRIBUTE, record_from_entry
from sovdev_logger._runtime.atomic_counter import AtomicCounter
from sovdev_logger._runtime.turnstile import Turnstile

EntryFactory = Callable[[logging.LogRecord], Entry | None]
"""Makes the entry of a record that plain logging made; None skips the record."""


class OutputHandler(logging.Handler):
    """Writes finished entries one at a time, from any thread, signal handler or finalizer.

    A subclass implements ``write``. An exception out of it is counted and passed to ``report``, and
    goes no further. Closing an output does not end it: whoever closes all handlers of a process
    (such as ``logging.config.dictConfig``) must not silence the service, so the next entry reopens
    it. ``flush`` does nothing, as in stdlib: ``sovdev_flush`` waits for delivery, with a deadline.

    The service's logger calls ``submit`` with an entry, or, when other handlers listen to the same
    logger too, ``handle`` with a stdlib record; the result is the same.
    """

    leaves_machine: ClassVar[bool] = False
    """Whether entries leave the machine; sampling saves on these outputs first."""

    def __init__(self, entry_from_record: EntryFactory, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.is_sampled = self.leaves_machine
        self._reset_sampled_out()
        self._entry_from_record = entry_from_record
        self._ledger = Ledger()
        self._passed_before_failure = 0
        self._turnstile = Turnstile(self.write, self._fail)

    def submit(self, entry: Entry) -> None:
        """Write an entry that has no stdlib record yet."""
        if self.is_sampled and entry.sample_rate == NOT_SAMPLED:
            self.count_sampled_out()
        elif self.filters:
            self.handle(record_from_entry(entry))
        else:
            self._turnstile.submit(entry)

    def _reset_sampled_out(self) -> None:
        self._sampled_out = AtomicCounter()
        self.count_sampled_out = self._sampled_out.increment

    def handle(self, record: logging.LogRecord) -> bool:
        """Filter the record and write its entry, without stdlib's handler lock."""
        if self.filters:
            passed = self.filter(record)
            if not passed:
                return False
            record = passed if isinstance(passed, logging.LogRecord) else record
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's entry, or park it when this thread is already inside."""
        entry = record.__dict__.get(ENTRY_ATTRIBUTE) or self._entry_from_record(record)
        if entry is None:
            return
        if self.is_sampled and entry.sample_rate == NOT_SAMPLED:
            self.count_sampled_out()
        else:
            self._turnstile.submit(entry)

    def write(self, entry: Entry) -> None:
        """Write one entry; called by one frame at a time."""
        raise NotImplementedError

    def write_parked(self) -> None:
        """Write what this thread parked while inside ``write``, which may never go on."""
        self._turnstile.drain_parked(self.write_bypassing)

    def write_bypassing(self, entry: Entry) -> None:
        """Write one entry while another is being written in an outer frame of this thread."""
        self.write(entry)

    def wait_until_written(self, deadline: float) -> None:
        """Wait until every submitted entry is written, for an output that writes later."""

    def report(self, error: Exception) -> str:
        """Warn once about what went wrong and how to fix it; return the reason in a few words."""
        raise NotImplementedError

    def status(self) -> OutputStatus:
        """Return the ledger of every entry so far, at any moment and in any thread."""
        ledger, sampled_out = self.ledger(), self._sampled_out.value()
        return replace(ledger, logged=ledger.logged + sampled_out, sampled_out=sampled_out)

    def ledger(self) -> OutputStatus:
        """Return the ledger of the entries that were not sampled out."""
        fates = self._ledger.counts  # first: no entry is dropped before it is submitted
        entries = self._turnstile.counts()
        if entries.passed > self._passed_before_failure:
            self._ledger.succeed()
        counts = Counts(entries.passed + fates.delivered, dropped=fates.dropped)
        return self._ledger.status(counts, entries.submitted, entries.drops)

    def reset_after_fork(self) -> None:
        """Start an empty ledger in a forked child."""
        self._ledger = Ledger()
        self._passed_before_failure = 0
        self._reset_sampled_out()

    def _fail(self, error: Exception) -> None:
        reason = self.report(error)
        self._ledger.record(dropped=1, reason=reason)
        self._ledger.fail(reason)
        self._passed_before_failure = self._turnstile.counts().passed

    def createLock(self) -> None:  # noqa: N802 - stdlib's name
        """Have no stdlib lock: the turnstile serialises, and a signal cannot deadlock it."""
        self.lock = None
