"""One call of the relay's ``StreamReceive``: envelopes go out, acknowledgements come in.

A stream in batch mode is acknowledged after every N entries, and for the rest when it is closed.
"""

import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import grpc

from sovdev_logger.otlp_wire import length_delimited, varint
from sovdev_logger.relay_settings import RelaySettings, TlsFiles
from sovdev_logger.relay_wire import relay_pb2 as wire

METHOD: Final = "/electrician.RelayService/StreamReceive"
MAX_ENVELOPE_BYTES: Final = 4 * 1024 * 1024 - 1024

_SOURCE: Final = "sovdev-logger"
_CLOSE: Final = wire.RelayEnvelope(close=wire.StreamClose(reason="end of batch"))
_PAYLOAD_FIELD: Final = 2
_SEQ_TAG: Final = b"\x30"

_OPTIONS: Final[list[tuple[str, Any]]] = [
    ("grpc.max_send_message_length", MAX_ENVELOPE_BYTES + 1024),
    # No keepalive: a relay punishes pings more often than every five minutes.
    ("grpc.enable_retries", 0),
]


class RelayStream:
    """One call of ``StreamReceive``: envelopes go out, acknowledgements come in all the time.

    Attributes:
        has_ended: Whether nothing more can be sent.
        has_sent: Whether an entry was sent.
        rejection: Why the relay rejected something, in its own words.
    """

    def __init__(self, channel: Any, settings: RelaySettings) -> None:
        self.has_ended = False
        self.has_sent = False
        self.rejection = ""
        self._settings = settings
        self._seq = 0
        self._acked = 0
        self._ok = 0
        self._errors = 0
        self._is_open = False
        self._acked_at = time.monotonic()
        self._error: tuple[grpc.StatusCode | None, str] | None = None
        self._outbox: SimpleQueue[bytes | None] = SimpleQueue()
        self._changed = threading.Condition()
        call = channel.stream_stream(
            METHOD,
            request_serializer=None,
            response_deserializer=wire.StreamAcknowledgment.FromString,
        )
        self._outbox.put(_open_envelope(settings))
        self._call = call(self._envelopes(), metadata=tuple(settings.headers.items()))
        self._reader = threading.Thread(target=self._read, name="sovdev-relay-acks", daemon=True)
        self._reader.start()

    def wait_until_open(self, deadline: float) -> bool:
        """Wait for the relay's word that we are connected and authorised."""
        with self._changed:
            while not self._is_open and self._error is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    self._error = (None, "the relay did not open the stream in time")
                    return False
                self._changed.wait(left)
        return self._is_open and self._error is None

    def deliver(self, items: Sequence[bytes], deadline: float) -> tuple[int, int]:
        """Send items and wait for their acknowledgements; return how many were taken, rejected."""
        ok_before, errors_before = self._ok, self._errors
        first = self._seq
        for item in items:
            if not self._wait_for_room(deadline):
                break
            self._seq += 1
            self.has_sent = True
            self._outbox.put(envelope(item, self._seq))
        else:
            if self._seq % self._settings.ack_every_n:
                # It acknowledges the rest of a batch only at the end of the stream.
                self.has_ended = True
                self._outbox.put(_CLOSE.SerializeToString())
                self._outbox.put(None)
            self._wait_for(lambda: self._acked >= first + len(items), deadline)
        if self.has_ended and self._acked >= first + len(items):
            # The relay's OK follows; without it nothing is lost any more.
            left = min(deadline - time.monotonic(), self._settings.flush_timeout_seconds)
            self._reader.join(max(0.0, left))
        return self._ok - ok_before, self._errors - errors_before

    def end_after_failure(self) -> tuple[grpc.StatusCode | None, str]:
        """Cut the call and return why it failed."""
        self.cancel()
        return self._error or (None, "no acknowledgement in time")

    def join(self, timeout_seconds: float) -> None:
        """Wait until the call is over."""
        self._reader.join(timeout_seconds)

    def cancel(self) -> None:
        """Cut the call; what is not acknowledged may or may not have arrived."""
        self.has_ended = True
        self._outbox.put(None)
        self._call.cancel()

    def _wait_for_room(self, deadline: float) -> bool:
        room = self._settings.max_in_flight
        return self._wait_for(lambda: self._seq - self._acked < room, deadline)

    def _wait_for(self, condition: Any, deadline: float) -> bool:
        """Wait for a condition; not beyond the deadline, an error, or a stall."""
        with self._changed:
            self._acked_at = time.monotonic()
            while not condition():
                stalled_at = self._acked_at + self._settings.stall_seconds
                left = min(deadline, stalled_at) - time.monotonic()
                if self._error is not None or left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def _envelopes(self) -> Iterator[bytes]:
        while (envelope := self._outbox.get()) is not None:
            yield envelope

    def _read(self) -> None:
        """Read acknowledgements until the stream ends: errors are seen nowhere else."""
        error: tuple[grpc.StatusCode | None, str] = (None, "the relay ended the stream")
        try:
            for ack in self._call:
                with self._changed:
                    self._note(ack)
                    self._changed.notify_all()
        except grpc.RpcError as failure:
            error = (failure.code(), failure.details() or "")
        except Exception as failure:  # noqa: BLE001 - whatever it is, the stream is over
            error = (None, f"{type(failure).__name__}: {failure}")
        with self._changed:
            self._error = self._error or error
            self.has_ended = True
            self._changed.notify_all()
        self._outbox.put(None)

    def _note(self, ack: Any) -> None:
        self._acked_at = time.monotonic()
        if not self._is_open:
            self._is_open = True
            return
        if ack.seq:  # for one entry
            self._acked = max(self._acked, ack.seq)
            self._ok += bool(ack.success)
            self._errors += not ack.success
        else:
            self._acked = max(self._acked, ack.last_seq)
            self._ok += ack.ok_count
            self._errors += ack.err_count
        if not ack.success:
            self.rejection = ack.message[:120]


def open_channel(target: str, tls: TlsFiles | None) -> Any:
    """Return a channel to a target, with TLS where its files are given."""
    if tls is None:
        return grpc.insecure_channel(target, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_content(tls.ca_file),
        private_key=_content(tls.key_file),
        certificate_chain=_content(tls.cert_file),
    )
    options = list(_OPTIONS)
    if tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return grpc.secure_channel(target, credentials, options=options)


def _content(path: str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


def _open_envelope(settings: RelaySettings) -> bytes:
    every = settings.ack_every_n
    defaults = wire.MessageMetadata(
        headers={"source": _SOURCE},
        content_type="application/octet-stream",
        version=wire.VersionInfo(major=1),
    )
    opening = wire.StreamOpen(
        stream_id=uuid.uuid4().hex + uuid.uuid4().hex,
        defaults=defaults,
        ack_mode=wire.ACK_PER_MESSAGE if every == 1 else wire.ACK_BATCH,
        ack_every_n=every,
        max_in_flight=settings.max_in_flight,
        omit_payload_metadata=True,
    )
    return bytes(wire.RelayEnvelope(open=opening).SerializeToString())


def envelope(item: bytes, seq: int) -> bytes:
    """Return an envelope with a finished payload, which gets its number in the stream."""
    return length_delimited(_PAYLOAD_FIELD, item + _SEQ_TAG + varint(seq))
