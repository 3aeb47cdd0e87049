"""The relay over gRPC: one stream at a time to one target, and the meaning of its end.

A batch is delivered when the relay has acknowledged all of it. In batch mode it does so after every
N entries; to have the rest acknowledged, the stream is closed, and the next batch opens another on
the same connection.
"""

import time
from collections.abc import Sequence
from typing import Final

from sovdev_logger._delivery.results import SendResult
from sovdev_logger._delivery.verdict import TURNED_AWAY_PAUSE_SECONDS
from sovdev_logger._outputs.relay.grpc_connection import CallStatus, GrpcConnection, StatusCode
from sovdev_logger._outputs.relay.messages import envelope
from sovdev_logger._outputs.relay.stream import RelayStream
from sovdev_logger._runtime.selflog import warn_throttled
from sovdev_logger._safety.one_line import notice_line
from sovdev_logger._settings.relay import RelaySettings

TURNED_AWAY_CODES: Final = frozenset(
    {
        StatusCode.UNAUTHENTICATED,
        StatusCode.PERMISSION_DENIED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.INVALID_ARGUMENT,
    }
)
# In the details of a connection that TLS refused, whose code is UNAVAILABLE.
_TLS_WORDS: Final = ("CERTIFICATE", "certificate", "SSL")


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
        self._connection: GrpcConnection | None = None
        self._stream: RelayStream | None = None

    def body(self, items: Sequence[bytes], context: bytes) -> bytes:  # noqa: ARG002
        """Return the entries as envelopes, one after another."""
        return b"".join(envelope(item, seq) for seq, item in enumerate(items, 1))

    def send(self, items: Sequence[bytes], context: bytes, timeout_seconds: float) -> SendResult:  # noqa: ARG002
        """Send entries and wait until the relay has acknowledged them."""
        deadline = time.monotonic() + timeout_seconds
        stream = self._stream
        if stream is None or not stream.is_usable:
            stream = self._open(
                min(deadline, time.monotonic() + self._settings.submit_timeout_seconds)
            )
        if stream is None:
            return self._failed(0, 0)
        delivered, rejected = stream.deliver(items, deadline)
        if delivered + rejected < len(items):
            return self._failed(delivered, delivered + rejected)
        reason = f"rejected: {stream.rejection}" if rejected else None
        return SendResult(delivered=delivered, rejected_count=rejected, reason=reason)

    def close(self) -> None:
        """End the connection, and with it the stream."""
        connection = self._connection
        self.reset_after_fork()
        if connection is not None:
            connection.close()

    def reset_after_fork(self) -> None:
        """Leave stream and connection to the parent: a forked child opens its own."""
        self._stream = self._connection = None

    def _open(self, deadline: float) -> RelayStream | None:
        """Return a stream that the relay has accepted; None when it has not in time."""
        if self._connection is not None and self._connection.is_open:
            self._connection.poll()
        if self._connection is None or not self._connection.is_open:
            self._connection = GrpcConnection(self._target, self._settings.tls, deadline)
        self._stream = RelayStream(self._connection, self._settings, deadline)
        return self._stream if self._stream.wait_until_open(deadline) else None

    def _failed(self, delivered: int, settled: int) -> SendResult:
        stream = self._stream
        if stream is None:  # closed meanwhile
            return SendResult(retryable=True, delivered=delivered, settled=settled, reason="closed")
        status = stream.why_it_failed()
        self.close()
        reason = str(status)
        pause = None
        is_about_us = status.code in TURNED_AWAY_CODES or any(word in reason for word in _TLS_WORDS)
        if is_about_us:
            pause = TURNED_AWAY_PAUSE_SECONDS
            shown = notice_line(reason, 200)
            warn_throttled(
                f"relay:{self._target}",
                f"the relay at {self._target} turns us away ({shown}); this is not an "
                f"outage. {self.advice}",
            )
        return SendResult(
            retryable=True,
            delivered=delivered,
            settled=settled,
            retry_after_seconds=pause,
            reason=notice_line(reason, 120),
            may_have_arrived=stream.has_sent and not is_about_us,
        )


def try_to_open(target: str, settings: RelaySettings, timeout_seconds: float) -> CallStatus | None:
    """Open a stream and close it again; return why that did not work, None if it did."""
    deadline = time.monotonic() + timeout_seconds
    connection = GrpcConnection(target, settings.tls, deadline)
    stream = RelayStream(connection, settings, deadline)
    is_open = stream.wait_until_open(deadline)
    status = stream.why_it_failed()
    connection.close()
    return None if is_open else status
