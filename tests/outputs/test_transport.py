"""HTTP as it really is: refusals, hangs, bytes that trickle, TLS that cannot be trusted."""

import gzip
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import urllib3.connection
import urllib3.exceptions

from sovdev_logger._delivery.failure_reasons import describe
from sovdev_logger._delivery.http_transport import HttpResult, HttpTransport
from sovdev_logger._delivery.otlp_messages import make_context, wrap
from sovdev_logger._delivery.otlp_resource import Resource
from sovdev_logger._delivery.protobuf import length_delimited, varint
from sovdev_logger._delivery.verdict import TURNED_AWAY_PAUSE_SECONDS
from sovdev_logger._entry.entry import Identity
from sovdev_logger._outputs.otlp.exporter import OtlpExporter
from sovdev_logger._runtime.own_traffic import is_own_traffic, own_traffic
from sovdev_logger._settings.endpoint import HttpEndpoint
from sovdev_logger._settings.otlp import OtlpSettings
from support.otlp_receiver import OtlpReceiver

RESOURCE = Resource(Identity("scope", "1.0.0", "session"), OtlpSettings())


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as made:
        yield made


@pytest.fixture
def transport(receiver: OtlpReceiver) -> Iterator[HttpTransport]:
    made = HttpTransport(HttpEndpoint(f"{receiver.endpoint}/v1/logs", timeout_seconds=5))
    yield made
    made.close()


def post(target: HttpEndpoint, body: bytes = b"") -> HttpResult:
    transport = HttpTransport(target)
    try:
        return transport.post(body)
    finally:
        transport.close()


def test_a_post_arrives(transport: HttpTransport, receiver: OtlpReceiver) -> None:
    assert transport.post(b"").accepted
    assert receiver.requests[0].headers["User-Agent"] == "sovdev-logger-python"


def test_headers_and_gzip(receiver: OtlpReceiver) -> None:
    headers = {"Authorization": "Bearer abc", "Host": "otel.localhost"}
    target = HttpEndpoint(f"{receiver.endpoint}/v1/logs", headers, gzip=True)
    body = wrap([], make_context({"k": "v" * 1000}, "scope"))
    assert post(target, body).accepted
    request = receiver.requests[0]
    assert request.is_gzipped
    assert request.size < len(body)
    assert request.headers["Authorization"] == "Bearer abc"
    assert request.headers["Host"] == "otel.localhost"
    assert len(gzip.compress(body)) < len(body)


def test_the_connection_is_kept_and_replaced_when_the_server_closed_it(
    transport: HttpTransport, receiver: OtlpReceiver
) -> None:
    transport.post(b"")
    first = transport._connection.sock  # type: ignore[union-attr]
    transport.post(b"")
    assert transport._connection.sock is first  # type: ignore[union-attr]
    for connection in list(receiver._connections):
        connection.shutdown(socket.SHUT_RDWR)
    assert wait_until_accepted(transport)


def wait_until_accepted(transport: HttpTransport) -> bool:
    return any(transport.post(b"").accepted for _ in range(2))


@pytest.mark.parametrize(
    ("status", "accepted", "retryable"),
    [
        (200, True, False),
        (202, True, False),
        (204, True, False),
        (301, False, False),
        (400, False, False),
        (401, False, False),
        (408, False, True),
        (413, False, False),
        (429, False, True),
        (500, False, True),
        (503, False, True),
    ],
)
def test_each_status_has_its_meaning(
    transport: HttpTransport, receiver: OtlpReceiver, status: int, accepted: bool, retryable: bool
) -> None:
    receiver.respond_with(status, {"Location": "http://127.0.0.1:1/"})
    result = transport.post(b"")
    assert (result.status, result.accepted, result.retryable) == (status, accepted, retryable)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("-5", 0.0), ("100000", 300.0), ("soon", None), ("nan", None)],
)
def test_retry_after_in_seconds(
    transport: HttpTransport, receiver: OtlpReceiver, header: str, seconds: float | None
) -> None:
    receiver.respond_with(429, {"Retry-After": header})
    assert transport.post(b"").retry_after_seconds == seconds


def test_retry_after_as_a_date(transport: HttpTransport, receiver: OtlpReceiver) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=60)
    receiver.respond_with(503, {"Retry-After": format_datetime(moment, usegmt=True)})
    asked = transport.post(b"").retry_after_seconds
    assert asked is not None
    assert 50 < asked <= 60


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    result = post(HttpEndpoint(f"http://127.0.0.1:{port}/"))
    assert (result.status, result.retryable) == (None, True)
    assert "refused" in (result.error or "")


def test_an_unknown_host() -> None:
    result = post(HttpEndpoint("http://no-such-host.invalid/"))
    assert result.status is None
    assert result.error


def test_a_server_that_hangs_is_left_at_the_deadline(
    transport: HttpTransport, receiver: OtlpReceiver
) -> None:
    receiver.hang()
    started = time.monotonic()
    result = transport.post(b"", timeout_seconds=0.2)
    assert time.monotonic() - started < 3
    assert result.status is None


def test_a_server_that_trickles_is_cut_at_the_deadline(
    transport: HttpTransport, receiver: OtlpReceiver
) -> None:
    receiver.drip()
    started = time.monotonic()
    result = transport.post(b"", timeout_seconds=0.4)
    assert time.monotonic() - started < 3
    assert result.status is None


def test_a_large_answer_is_not_read_to_its_end(
    transport: HttpTransport, receiver: OtlpReceiver
) -> None:
    receiver.respond_with(400, body=b"x" * 200_000)
    assert len(transport.post(b"").body) == 65536
    receiver.recover()
    assert transport.post(b"").accepted


def test_a_server_that_closes_each_connection(
    transport: HttpTransport, receiver: OtlpReceiver
) -> None:
    receiver.respond_with(200, {"Connection": "close"})
    assert transport.post(b"").accepted
    assert transport.post(b"").accepted


def test_something_that_is_no_http(transport: HttpTransport, receiver: OtlpReceiver) -> None:
    def speak_nonsense(handler: BaseHTTPRequestHandler) -> bool:
        handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")
        return True

    receiver.behave(speak_nonsense)
    result = transport.post(b"")
    assert result.status is None
    assert result.retryable


def test_what_a_server_says_is_told_whole(transport: HttpTransport, receiver: OtlpReceiver) -> None:
    def answer_oddly(handler: BaseHTTPRequestHandler) -> bool:
        handler.wfile.write(b"HTTP/1.1 abc (proxy): <go away>: no\r\n\r\n")
        return True

    receiver.behave(answer_oddly)
    assert "HTTP/1.1 abc (proxy): <go away>: no" in str(transport.post(b"").error)


def test_no_object_of_the_http_library_is_shown() -> None:
    """It puts its connection, in some versions with its address, in front of what went wrong."""
    connection = urllib3.connection.HTTPConnection("127.0.0.1", 9)
    for error in (
        urllib3.exceptions.NewConnectionError(connection, "refused (for now): no"),
        urllib3.exceptions.ConnectTimeoutError(connection, "refused (for now): no"),
    ):
        assert describe(error) == "refused (for now): no"
    assert describe(urllib3.exceptions.IncompleteRead(2, 3)).startswith("IncompleteRead(2 bytes")
    assert describe(urllib3.exceptions.HTTPError()) == "HTTPError"
    result = post(HttpEndpoint("http://127.0.0.1:9/"))
    assert "HTTPConnection" not in str(result.error)
    assert "0x" not in str(result.error)


def test_plain_http_where_tls_was_asked_for(receiver: OtlpReceiver) -> None:
    target = HttpEndpoint(receiver.endpoint.replace("http:", "https:"), timeout_seconds=2)
    result = post(target)
    assert result.status is None
    assert "SSL" in (result.error or "")


PEM = str(Path(__file__).parents[1] / "support" / "localhost.pem")


@pytest.fixture
def tls_receiver() -> Iterator[OtlpReceiver]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    with OtlpReceiver(tls=context) as made:
        yield made


def test_a_certificate_that_nobody_vouches_for_is_refused(tls_receiver: OtlpReceiver) -> None:
    result = post(HttpEndpoint(f"{tls_receiver.endpoint}/v1/logs", timeout_seconds=5))
    assert result.status is None
    assert "CERTIFICATE_VERIFY_FAILED" in (result.error or "")
    assert tls_receiver.requests == []


def test_a_certificate_of_the_targets_own_authority_is_accepted(
    tls_receiver: OtlpReceiver,
) -> None:
    target = HttpEndpoint(f"{tls_receiver.endpoint}/v1/logs", timeout_seconds=5, ca_file=PEM)
    assert post(target).accepted


def test_a_certificate_for_another_host_is_refused(tls_receiver: OtlpReceiver) -> None:
    url = tls_receiver.endpoint.replace("127.0.0.1", "127.0.0.2")
    result = post(HttpEndpoint(f"{url}/v1/logs", timeout_seconds=5, ca_file=PEM))
    assert result.status is None
    assert tls_receiver.requests == []


def test_a_client_shows_its_certificate() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    context.load_verify_locations(PEM)
    context.verify_mode = ssl.CERT_REQUIRED
    with OtlpReceiver(tls=context) as receiver:
        target = HttpEndpoint(f"{receiver.endpoint}/v1/logs", timeout_seconds=5, ca_file=PEM)
        assert not post(target).accepted
        known = replace(target, client_cert_file=PEM, client_key_file=PEM)
        assert post(known).accepted


def test_a_certificate_file_that_is_not_there() -> None:
    result = post(HttpEndpoint("https://127.0.0.1:1/", ca_file="/no/such/ca.pem"))
    assert result.status is None
    assert result.error


def test_the_http_librarys_loggers_are_left_alone(transport: HttpTransport) -> None:
    before = {name: state(name) for name in ("urllib3", "urllib3.connectionpool")}
    transport.post(b"")
    assert {name: state(name) for name in before} == before


def state(name: str) -> tuple[int, bool, int, int]:
    logger = logging.getLogger(name)
    return logger.level, logger.propagate, len(logger.handlers), len(logger.filters)


def test_own_traffic_is_marked_per_thread_and_nests() -> None:
    marks: list[bool] = []
    with own_traffic():
        with own_traffic():
            pass
        thread = threading.Thread(target=lambda: marks.append(is_own_traffic()))
        thread.start()
        thread.join(10)
        marks.append(is_own_traffic())
    assert [*marks, is_own_traffic()] == [False, True, False]


def partial_success(rejected: int, reason: bytes) -> bytes:
    return length_delimited(1, b"\x08" + varint(rejected) + length_delimited(2, reason))


@pytest.mark.parametrize(
    ("body", "delivered", "rejected", "reason"),
    [
        (b"", 3, 0, None),
        (partial_success(2, b"too old"), 1, 2, "too old"),
        (partial_success(9, b""), 0, 3, None),
        (partial_success(2**63 - 1, b""), 0, 3, None),
        (partial_success(2**64 - 1, b"minus one"), 3, 0, "minus one"),
        (partial_success(2**63, b""), 3, 0, None),
        (b"not protobuf at all", 3, 0, None),
        (b"\x0a", 3, 0, None),
        (b"\x0d\x00\x00\x00\x00\x11" + b"\x00" * 8, 3, 0, None),
    ],
)
def test_a_partial_success_is_read(
    receiver: OtlpReceiver,
    body: bytes,
    delivered: int,
    rejected: int,
    reason: str | None,
) -> None:
    receiver.respond_with(200, body=body)
    exporter = OtlpExporter(HttpEndpoint(f"{receiver.endpoint}/v1/logs"), RESOURCE.log_context)
    result = exporter.send([b"", b"", b""], exporter.context, 5)
    exporter.close()
    assert (result.delivered, result.rejected_count, result.reason) == (delivered, rejected, reason)


@pytest.mark.parametrize(
    ("status", "payload_rejected", "retryable", "pause"),
    [
        (400, True, False, None),
        (413, True, False, None),
        (422, True, False, None),
        (301, False, True, TURNED_AWAY_PAUSE_SECONDS),
        (401, False, True, TURNED_AWAY_PAUSE_SECONDS),
        (403, False, True, TURNED_AWAY_PAUSE_SECONDS),
        (404, False, True, TURNED_AWAY_PAUSE_SECONDS),
        (429, False, True, 3.0),
        (503, False, True, 3.0),
    ],
)
def test_what_an_answer_is_about_decides(
    receiver: OtlpReceiver,
    status: int,
    payload_rejected: bool,
    retryable: bool,
    pause: float | None,
) -> None:
    exporter = OtlpExporter(HttpEndpoint(f"{receiver.endpoint}/v1/logs"), RESOURCE.log_context)
    receiver.respond_with(status, {"Retry-After": "3"} if status >= 429 else {})
    result = exporter.send([b"", b""], exporter.context, 5)
    exporter.close()
    assert (result.delivered, result.payload_rejected, result.retryable) == (
        0,
        payload_rejected,
        retryable,
    )
    assert (result.retry_after_seconds, result.reason) == (pause, f"HTTP {status}")


def test_a_target_does_not_show_its_headers() -> None:
    target = replace(HttpEndpoint("https://x/"), headers={"Authorization": "Bearer s3cret"})
    assert "s3cret" not in repr(target)
