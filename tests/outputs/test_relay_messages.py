"""The relay's messages: what we write its own stubs read, and what they write we read."""

from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovdev_logger._outputs.relay.grpc_connection import CallStatus, StatusCode
from sovdev_logger._outputs.relay.messages import (
    CLOSE,
    envelope,
    open_envelope,
    read_acknowledgement,
    wrapped_payload,
)
from sovdev_logger._outputs.relay.stream import RelayStream
from sovdev_logger._settings.relay import RelaySettings
from support import relay_pb2 as wire

UINT32 = st.integers(0, 2**32 - 1)
UINT64 = st.integers(0, 2**64 - 1)
TIMES = st.integers(-62_135_510_400 * 10**9, 253_402_214_400 * 10**9)
"""From the year 1 to 9999, as protobuf's timestamps."""


def relay_settings(every: int = 64) -> RelaySettings:
    return RelaySettings(("127.0.0.1:1",), ack_every_n=every)


@settings(deadline=None)
@given(st.text(), TIMES, st.binary(max_size=1000), UINT64)
def test_a_payload_is_read_as_it_was_written(
    entry_id: str, time_ns: int, payload: bytes, seq: int
) -> None:
    item = wrapped_payload(entry_id, time_ns, payload)
    message = wire.RelayEnvelope.FromString(envelope(item, seq))
    assert message.WhichOneof("msg") == "payload"
    wrapped = message.payload
    assert (wrapped.id, wrapped.payload, wrapped.seq) == (entry_id, payload, seq)
    assert wrapped.timestamp.ToNanoseconds() == time_ns
    assert wrapped.payload_type == "electrician.log.v1"
    assert wrapped.metadata == wire.MessageMetadata(
        headers={"source": "sovdev-logger", "log_schema": "electrician.log.v1"},
        content_type="application/json",
        version=wire.VersionInfo(major=1),
    )


@pytest.mark.parametrize(("every", "mode"), [(1, wire.ACK_PER_MESSAGE), (64, wire.ACK_BATCH)])
def test_a_stream_is_opened_with_its_settings(every: int, mode: wire.AckMode) -> None:
    message = wire.RelayEnvelope.FromString(open_envelope(relay_settings(every)))
    assert message.open == wire.StreamOpen(
        stream_id=message.open.stream_id,
        defaults=wire.MessageMetadata(
            headers={"source": "sovdev-logger"},
            content_type="application/octet-stream",
            version=wire.VersionInfo(major=1),
        ),
        ack_mode=mode,
        ack_every_n=every,
        max_in_flight=512,
        omit_payload_metadata=True,
    )
    other = wire.RelayEnvelope.FromString(open_envelope(relay_settings(every)))
    assert len(message.open.stream_id) == 64
    assert other.open.stream_id != message.open.stream_id


def test_a_stream_is_closed_with_a_reason() -> None:
    message = wire.RelayEnvelope.FromString(CLOSE)
    assert message == wire.RelayEnvelope(close=wire.StreamClose(reason="end of batch"))


@settings(deadline=None)
@given(st.booleans(), st.text(), UINT64, UINT64, UINT32, UINT32)
def test_an_acknowledgement_is_read_as_it_was_written(
    success: bool, message: str, seq: int, last_seq: int, ok_count: int, err_count: int
) -> None:
    written = wire.StreamAcknowledgment(
        success=success,
        message=message,
        stream_id="s",
        id="i",
        seq=seq,
        code=-1,
        retryable=True,
        last_seq=last_seq,
        ok_count=ok_count,
        err_count=err_count,
    )
    read = read_acknowledgement(written.SerializeToString())
    assert read == (success, message, seq, last_seq, ok_count, err_count)


ACKS = st.builds(
    lambda **fields: wire.StreamAcknowledgment(**fields).SerializeToString(),
    success=st.booleans(),
    seq=st.integers(0, 6) | UINT64,
    last_seq=st.integers(0, 6) | UINT64,
    ok_count=st.integers(0, 6) | UINT32,
    err_count=st.integers(0, 6) | UINT32,
)


class Connection:
    """Has some answers, and then none."""

    def __init__(self, answers: list[bytes]) -> None:
        self.messages: deque[bytes] = deque()
        self.status: CallStatus | None = None
        self._answers = deque(answers)

    def call(self, *_: Any) -> None:
        """Begin."""

    def send(self, *_: Any) -> bool:
        return self.status is None

    def end(self, *_: Any) -> None:
        """End."""

    def receive(self, _deadline: float) -> bool:
        if not self._answers:
            return False
        self.messages.append(self._answers.popleft())
        return True

    def fail(self, details: str) -> None:
        self.status = CallStatus(StatusCode.UNAVAILABLE, details)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40) | ACKS, max_size=8), st.integers(1, 5))
def test_whatever_a_relay_answers_counts_or_breaks_the_stream(
    answers: list[bytes], count: int
) -> None:
    connection: Any = Connection(answers)
    stream = RelayStream(connection, relay_settings(1), 0.0)
    stream.wait_until_open(0.0)
    delivered, rejected = stream.deliver([b""] * count, 0.0)
    assert min(delivered, rejected) >= 0
    assert delivered + rejected <= count
    assert stream.why_it_failed().code in {StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED}
