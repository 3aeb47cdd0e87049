"""The relay over gRPC: one stream at a time to one target, and what its acknowledgements say.

A batch is delivered when the relay has acknowledged all of it. In batch mode it does so after every
N entries; for the rest of a batch the stream is closed, which makes it acknowledge what is left,
and the next batch opens another on the same connection.
"""

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, NamedTuple
from weakref import WeakSet

import grpc

from sovdev_logger.delivery.exporting import NO_THREAD
from sovdev_logger.delivery.results import SendResult
from sovdev_logger.otlp_wire import length_delimited, varint
from sovdev_logger.relay_settings import RelaySettings, TlsFiles
from sovdev_logger.relay_wire import relay_pb2 as wire
from sovdev_logger.selflog import warn_now_and_then

METHOD: Final = "/electrician.RelayService/StreamReceive"
TURNED_AWAY_PAUSE_SECONDS: Final = 30.0
MAX_ENVELOPE_BYTES: Final = 4 * 1024 * 1024 - 1024

_SOURCE: Final = "sovdev-logger"
_CLOSE: Final = wire.RelayEnvelope(close=wire.StreamClose(reason="end of batch"))
_PAYLOAD_FIELD: Final = 2
_SEQ_TAG: Final = b"\x30"

_ABOUT_US: Final = frozenset(
    {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INVALID_ARGUMENT,
    }
)
# What a connection that TLS does not allow says, beside being unavailable.
_TLS_WORDS: Final = ("CERTIFICATE", "certificate", "handshake failed", "SSL")

_OPTIONS: Final[list[tuple[str, Any]]] = [
    ("grpc.max_send_message_length", MAX_ENVELOPE_BYTES + 1024),
    # No keepalive: a relay punishes pings more often than every five minutes.
    ("grpc.enable_retries", 0),
]

_MAX_WAIT_FOR_FORK_SECONDS: Final = 1.0
_THREADS_OF_GRPC: Final = ("channel_spin", "_consume_request_iterator", "consume_request", "_poll_")

_parents_channels: list[Any] = []
"""Channels of a fork's parent: to close or to collect them in the child could hang it."""


class RelayExporter:
    """Sends entries over one stream to one relay, and waits for their acknowledgements.

    Args:
        target: ``host:port``.
        settings: How the stream is opened, and how long is waited.
    """

    context: Final = b""
    suffix: Final = ".relay"

    def __init__(self, target: str, settings: RelaySettings) -> None:
        self.advice = f"Check the relay at {target}, RELAY_TARGETS and RELAY_BEARER_TOKEN."
        self._target = target
        self._settings = settings
        self._channel: Any = None
        self._stream: _Stream | None = None
        self._may_open = threading.Lock()
        _live_exporters.add(self)

    def prepare(self) -> None:
        """Open a stream ahead: while the interpreter ends none can be opened any more."""
        if self._stream is not None and not self._stream.has_ended:
            return
        stream = self._open()
        if stream is None:
            return
        if not stream.wait_until_open(time.monotonic() + self._settings.submit_timeout_seconds):
            self._stream = None
            stream.cancel()

    def body(self, items: Sequence[bytes], context: bytes) -> bytes:  # noqa: ARG002
        """Return the entries as envelopes, one after another."""
        return b"".join(_envelope(item, seq) for seq, item in enumerate(items, 1))

    def send(self, items: Sequence[bytes], context: bytes, timeout_seconds: float) -> SendResult:  # noqa: ARG002
        """Send entries and wait until the relay has acknowledged them."""
        deadline = time.monotonic() + timeout_seconds
        stream = self._stream
        if stream is None or stream.has_ended:
            stream = self._open()
        if stream is None:
            return SendResult(retryable=True, reason=NO_THREAD)
        if not stream.wait_until_open(
            min(deadline, time.monotonic() + self._settings.submit_timeout_seconds)
        ):
            return self._failed(stream, 0, 0)
        delivered, rejected = stream.deliver(items, deadline)
        settled = delivered + rejected
        if settled == len(items):
            if stream.has_ended:
                self.prepare()
            reason = f"rejected: {stream.rejection}" if rejected else None
            return SendResult(delivered=delivered, rejected=rejected, reason=reason)
        return self._failed(stream, delivered, settled)

    def close(self) -> None:
        """End the stream and the connection."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def begin_fork(self) -> None:
        """End what gRPC is doing: a fork in the middle of a call kills the child.

        What is not acknowledged is sent again afterwards.
        """
        self._may_open.acquire(timeout=_MAX_WAIT_FOR_FORK_SECONDS)
        stream = self._stream
        self.close()
        if stream is not None:
            stream.join(_MAX_WAIT_FOR_FORK_SECONDS)
            _wait_for_threads_of_grpc()

    def end_fork(self) -> None:
        """Allow new streams again."""
        with contextlib.suppress(RuntimeError):
            self._may_open.release()

    def forget(self) -> None:
        """Leave stream and connection to the parent: a forked child opens its own."""
        _parents_channels.append((self._stream, self._channel))
        self._stream = self._channel = None
        self._may_open = threading.Lock()

    def _open(self) -> "_Stream | None":
        """Return a new stream; None where no thread can be started, which gRPC needs for it."""
        self._stream = None
        if not _can_start_threads():
            return None
        with self._may_open:
            if self._channel is None:
                self._channel = _channel(self._target, self._settings.tls)
            try:
                self._stream = _Stream(self._channel, self._settings)
            except RuntimeError:  # the interpreter began to end meanwhile
                self.forget()
        return self._stream

    def _failed(self, stream: "_Stream", delivered: int, settled: int) -> SendResult:
        code, details = stream.end_after_failure()
        self._stream = None
        reason = f"{code.name}: {details}" if code is not None else details
        pause = None
        is_about_us = code in _ABOUT_US or any(word in details for word in _TLS_WORDS)
        if is_about_us:
            pause = TURNED_AWAY_PAUSE_SECONDS
            warn_now_and_then(
                f"relay:{self._target}",
                f"the relay at {self._target} turns us away ({reason[:200]}); this is no outage. "
                f"{self.advice}",
            )
        return SendResult(
            retryable=True,
            delivered=delivered,
            settled=settled,
            retry_after_seconds=pause,
            reason=reason[:120],
            may_have_arrived=stream.has_sent and not is_about_us,
        )


class Refusal(NamedTuple):
    """Why a stream was not opened."""

    reason: str
    code: int
    has_answered: bool


def try_to_open(target: str, settings: RelaySettings, timeout_seconds: float) -> Refusal | None:
    """Open a stream and close it again; return why that did not work, None if it did."""
    channel = _channel(target, settings.tls)
    stream = _Stream(channel, settings)
    is_open = stream.wait_until_open(time.monotonic() + timeout_seconds)
    code, details = stream.end_after_failure()
    channel.close()
    if is_open:
        return None
    reason = f"{code.name}: {details}" if code is not None else details
    return Refusal(reason[:300], code.value[0] if code is not None else 0, code in _ABOUT_US)


class _Stream:
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
            self._outbox.put(_envelope(item, self._seq))
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


_live_exporters: "WeakSet[RelayExporter]" = WeakSet()


def _before_fork() -> None:
    for exporter in list(_live_exporters):
        exporter.begin_fork()


def _after_fork_in_parent() -> None:
    for exporter in list(_live_exporters):
        exporter.end_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent)


def _wait_for_threads_of_grpc() -> None:
    """Wait until no thread of gRPC's Python side runs: its own fork handlers skip a busy one."""
    deadline = time.monotonic() + _MAX_WAIT_FOR_FORK_SECONDS
    for thread in threading.enumerate():
        if any(name in thread.name for name in _THREADS_OF_GRPC):
            thread.join(max(0.0, deadline - time.monotonic()))


def _can_start_threads() -> bool:
    """Return False while the interpreter ends, from Python 3.12 on; gRPC would hang then."""
    thread = threading.Thread(target=_nothing, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


def _nothing() -> None:
    """Be run by a thread."""


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


def _envelope(item: bytes, seq: int) -> bytes:
    """Return an envelope with a finished payload, which gets its number in the stream."""
    return length_delimited(_PAYLOAD_FIELD, item + _SEQ_TAG + varint(seq))


def _channel(target: str, tls: TlsFiles | None) -> Any:
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
