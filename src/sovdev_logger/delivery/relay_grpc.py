"""The relay over gRPC: one stream at a time to one target, and what its acknowledgements say.

A batch is delivered when the relay has acknowledged all of it. In batch mode it does so after every
N entries; for the rest of a batch the stream is closed, which makes it acknowledge what is left,
and the next batch opens another on the same connection.
"""

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from weakref import WeakSet

import grpc

from sovdev_logger.delivery.exporting import NO_THREAD
from sovdev_logger.delivery.relay_stream import RelayStream, envelope, open_channel
from sovdev_logger.delivery.results import SendResult
from sovdev_logger.relay_settings import RelaySettings
from sovdev_logger.selflog import warn_now_and_then

TURNED_AWAY_PAUSE_SECONDS: Final = 30.0

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
        self._stream: RelayStream | None = None
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
        return b"".join(envelope(item, seq) for seq, item in enumerate(items, 1))

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

    def _open(self) -> RelayStream | None:
        """Return a new stream; None where no thread can be started, which gRPC needs for it."""
        self._stream = None
        if not _can_start_threads():
            return None
        with self._may_open:
            if self._channel is None:
                self._channel = open_channel(self._target, self._settings.tls)
            try:
                self._stream = RelayStream(self._channel, self._settings)
            except RuntimeError:  # the interpreter began to end meanwhile
                self.forget()
        return self._stream

    def _failed(self, stream: RelayStream, delivered: int, settled: int) -> SendResult:
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
    channel = open_channel(target, settings.tls)
    stream = RelayStream(channel, settings)
    is_open = stream.wait_until_open(time.monotonic() + timeout_seconds)
    code, details = stream.end_after_failure()
    channel.close()
    if is_open:
        return None
    reason = f"{code.name}: {details}" if code is not None else details
    return Refusal(reason[:300], code.value[0] if code is not None else 0, code in _ABOUT_US)


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
