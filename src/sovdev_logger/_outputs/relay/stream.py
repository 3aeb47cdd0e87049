"""One call of the relay's ``StreamReceive``: envelopes go out, acknowledgements come in.

A stream in batch mode is acknowledged after every N entries, and for the rest when it is closed.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from sovdev_logger._outputs.relay.grpc_connection import (
    CallStatus,
    GrpcConnection,
    StatusCode,
    framed,
)
from sovdev_logger._outputs.relay.messages import (
    CLOSE,
    Acknowledgement,
    envelope,
    open_envelope,
    read_acknowledgement,
)
from sovdev_logger._safety.one_line import notice_line
from sovdev_logger._settings.relay import RelaySettings

METHOD: Final = "/electrician.RelayService/StreamReceive"

_MAX_WRITE_BYTES: Final = 128 * 1024


class RelayStream:
    """Sends entries over one call and counts their acknowledgements; for one thread.

    Attributes:
        has_ended: Whether nothing more can be sent.
        has_sent: Whether an entry was sent.
        rejection: Why the relay rejected an entry, in its own words.
    """

    def __init__(self, connection: GrpcConnection, settings: RelaySettings, deadline: float):
        self.has_ended = False
        self.has_sent = False
        self.rejection = ""
        self._connection = connection
        self._settings = settings
        self._unsent = bytearray()
        self._seq = 0
        self._acked = 0
        self._ok = 0
        self._errors = 0
        self._is_open = False
        self._acked_at = 0.0
        connection.call(METHOD, settings.headers, deadline)
        connection.send(framed(open_envelope(settings)), deadline)

    @property
    def is_usable(self) -> bool:
        """Whether entries can be sent, after reading what has arrived meanwhile."""
        if not self.has_ended:
            self._connection.poll()
            self.has_ended = self._connection.status is not None
        return not self.has_ended

    def wait_until_open(self, deadline: float) -> bool:
        """Wait for the acknowledgement that we are connected and authorised."""
        while not self._is_open and self._connection.status is None:
            if not self._receive(deadline):
                return False
        return self._is_open and self._connection.status is None

    def deliver(self, items: Sequence[bytes], deadline: float) -> tuple[int, int]:
        """Send items and wait for their acknowledgements; return how many it took and rejected."""
        ok_before, errors_before = self._ok, self._errors
        last = self._seq + len(items)
        if self._send_all(items, deadline):
            if self._seq % self._settings.ack_every_n:
                # It acknowledges the rest of a batch only at the end of the stream.
                self.has_ended = True
                self._unsent += framed(CLOSE)
                if self._write(deadline):
                    self._connection.end(deadline)
            self._wait_for(lambda: self._acked >= last, deadline)
        if self.has_ended and self._acked >= last:
            self._wait_for_the_end(deadline)
        return self._ok - ok_before, self._errors - errors_before

    def why_it_failed(self) -> CallStatus:
        """Return how the call ended, or that nothing came."""
        status = self._connection.status
        if status is None:
            waited_for = "acknowledgement" if self._is_open else "answer to the opening"
            return CallStatus(StatusCode.DEADLINE_EXCEEDED, f"no {waited_for} in time")
        if status.code is StatusCode.OK:
            return CallStatus(StatusCode.UNAVAILABLE, "the relay ended the stream")
        return status

    def _send_all(self, items: Sequence[bytes], deadline: float) -> bool:
        room = self._settings.max_in_flight
        self._acked_at = time.monotonic()
        for item in items:
            if self._seq - self._acked >= room and not self._wait_for(
                lambda: self._seq - self._acked < room, deadline
            ):
                return False
            self._seq += 1
            self._unsent += framed(envelope(item, self._seq))
            if len(self._unsent) >= _MAX_WRITE_BYTES and not self._write(deadline):
                return False
        return True

    def _wait_for(self, condition: Callable[[], bool], deadline: float) -> bool:
        """Wait for a condition; not beyond the deadline, the call's end, or a stall."""
        if not self._write(deadline):
            return False
        self._acked_at = time.monotonic()
        while not condition():
            if self._connection.status is not None or not self._receive(
                self._timeout_until(deadline)
            ):
                return False
        return True

    def _wait_for_the_end(self, deadline: float) -> None:
        """Wait for the relay's OK, without which nothing is lost any more."""
        end = min(deadline, time.monotonic() + self._settings.flush_timeout_seconds)
        while self._connection.status is None and self._receive(end):
            pass

    def _timeout_until(self, deadline: float) -> float:
        return min(deadline, self._acked_at + self._settings.stall_seconds)

    def _write(self, deadline: float) -> bool:
        data, self._unsent = bytes(self._unsent), bytearray()
        if not data:
            return True
        self.has_sent = self.has_sent or self._seq > 0
        is_sent = self._connection.send(data, self._timeout_until(deadline))
        self._read_acks()
        return is_sent

    def _receive(self, deadline: float) -> bool:
        """Wait for something from the relay; return False when nothing came in time."""
        has_come = self._connection.receive(deadline)
        self._read_acks()
        return has_come

    def _read_acks(self) -> None:
        messages = self._connection.messages
        while messages:
            try:
                ack = read_acknowledgement(messages.popleft())
            except ValueError as error:
                self._connection.fail(f"the relay sent an unreadable acknowledgement ({error})")
                return
            self._acked_at = time.monotonic()
            if not self._is_open:
                self._is_open = True
                continue
            self._count(ack)

    def _count(self, ack: Acknowledgement) -> None:
        """Count what a relay says of entries that it was sent and has not acknowledged before."""
        last = min(ack.seq or ack.last_seq, self._seq)
        newly = max(0, last - self._acked)
        self._acked += newly
        errors = int(not ack.success) if ack.seq else ack.err_count
        ok = 1 - errors if ack.seq else ack.ok_count
        errors = min(errors, newly)
        self._errors += errors
        self._ok += min(ok, newly - errors)
        if not ack.success:
            self.rejection = notice_line(ack.message, 120)
