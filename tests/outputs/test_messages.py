"""What a failed delivery says: the server's reason, and the variable to set."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sovdev_logger import sovdev_test_otlp_connection, sovdev_validate_config
from sovdev_logger._delivery.failure_reasons import server_reason
from sovdev_logger._delivery.protobuf import length_delimited, varint_field
from sovdev_logger._delivery.results import SendResult
from sovdev_logger._outputs.otlp.exporter import OtlpExporter
from sovdev_logger._settings.endpoint import HttpEndpoint
from sovdev_logger._settings.otlp import read_otlp
from sovdev_logger._settings.reader import EnvironmentReader
from support.certificates import Certificates
from support.otlp_receiver import OtlpReceiver

TOO_LARGE = varint_field(1, 3) + length_delimited(2, b"http: request body too large")
SETTINGS_FRAME = b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0"


def send(environ: dict[str, str]) -> SendResult:
    """Send one item to the endpoint of the logs in ``environ``."""
    endpoint = read_otlp(EnvironmentReader(environ)).logs
    assert endpoint is not None
    exporter = OtlpExporter(endpoint, bytes)
    try:
        return exporter.send([b""], b"\0", 5)
    finally:
        exporter.close()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (TOO_LARGE, "http: request body too large"),
        (
            b'{"code":14,"message":"data refused due to high memory usage"}',
            "data refused due to high memory usage",
        ),
        (b'{"error": "unknown tenant"}', "unknown tenant"),
        (b"404 page not found\n", "404 page not found"),
        (b"two\r\n lines", "two lines"),
        (b"", ""),
        (b"<html><h1>502 Bad Gateway</h1></html>", ""),
        (b"{not json", "{not json"),
        (b"[" * 100_000, "[" * 199 + "…"),
        (b'{"a":' * 100_000, ('{"a":' * 40)[:199] + "…"),
        (b"\x12", ""),
        (b"\x08\x03", ""),
        (b"x" * 65_536, "x" * 199 + "…"),
        (length_delimited(2, b"y" * 5_000), "y" * 199 + "…"),
    ],
)
def test_the_reason_in_a_body(body: bytes, reason: str) -> None:
    assert server_reason(body) == reason


@pytest.mark.parametrize("status", [400, 413, 503])
def test_the_servers_reason_is_shown(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    with OtlpReceiver() as receiver:
        receiver.respond_with(status, body=TOO_LARGE)
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
        result = send(environ)
        monkeypatch.setenv(*next(iter(environ.items())))
        report = sovdev_test_otlp_connection()
    assert result.reason == f"HTTP {status}"  # the same for each, whatever the server says
    assert result.explanation == f"HTTP {status}: http: request body too large"
    assert report.logs.message.endswith("The server says: http: request body too large")


@pytest.fixture
def grpc_port() -> Iterator[int]:
    """Yield a port where a server greets as one for gRPC does."""
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connections.append(connection)  # a close with unread data would reset it
                connection.sendall(SETTINGS_FRAME)
                connection.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=greet)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    for connection in connections:
        connection.close()


def test_a_server_for_grpc_is_recognised(grpc_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    name, url = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", f"http://127.0.0.1:{grpc_port}/v1/logs"
    said = (
        "the server speaks HTTP/2, as gRPC does, instead of HTTP/1.1: the port is one for gRPC; "
        f"set {name} to the port for OTLP over HTTP, usually 4318"
    )
    assert send({name: url}).reason == said
    monkeypatch.setenv(name, url)
    assert sovdev_test_otlp_connection().logs.message == f"no answer: {said}."


@pytest.mark.parametrize("is_reset", [False, True])
def test_a_connection_that_is_closed_may_be_one_for_grpc(is_reset: bool) -> None:
    def hang_up(handler: object) -> bool:
        if is_reset:
            connection = handler.connection  # type: ignore[attr-defined]
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return True

    with OtlpReceiver() as receiver:
        receiver.behave(hang_up)
        reason = send({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}).reason or ""
    assert "a port for gRPC does so, too; set OTEL_EXPORTER_OTLP_ENDPOINT to the port" in reason


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
def tls_receiver(certificates: Certificates) -> Iterator[OtlpReceiver]:
    with OtlpReceiver(tls=certificates.for_http()) as made:
        yield made


@pytest.mark.parametrize("own", ["OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_LOGS_"])
def test_a_certificate_that_is_not_trusted_names_the_variable(
    tls_receiver: OtlpReceiver, own: str
) -> None:
    environ = {f"{own}ENDPOINT": f"{tls_receiver.endpoint}/v1/logs"}
    if own.endswith("LOGS_"):
        environ[f"{own}CERTIFICATE"] = str(Path(__file__).parents[1] / "support" / "localhost.pem")
    reason = send(environ).reason or ""
    assert "CERTIFICATE_VERIFY_FAILED" in reason
    assert reason.endswith(
        f"; set {own}CERTIFICATE to a file with the certificate of the server's authority"
    )


def test_the_systems_authorities_have_a_variable_too(
    tls_receiver: OtlpReceiver, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = OtlpExporter(HttpEndpoint(f"{tls_receiver.endpoint}/v1/logs"), bytes)
    assert "set SSL_CERT_FILE to a file" in (exporter.send([b""], b"\0", 5).reason or "")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    assert exporter.send([], b"\0", 5).reason is None
    exporter.close()


def test_a_certificate_for_another_name_is_about_the_endpoint(
    tls_receiver: OtlpReceiver, certificates: Certificates
) -> None:
    url = tls_receiver.endpoint.replace("127.0.0.1", "localhost")
    files = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificates.ca)}
    reason = send({"OTEL_EXPORTER_OTLP_ENDPOINT": url, **files}).reason or ""
    assert reason.endswith("; use a name of the certificate in OTEL_EXPORTER_OTLP_ENDPOINT")


def test_tls_where_there_is_none_is_about_the_endpoint() -> None:
    with OtlpReceiver() as receiver:
        url = receiver.endpoint.replace("http:", "https:")
        reason = send({"OTEL_EXPORTER_OTLP_ENDPOINT": url}).reason or ""
    assert "or use http:// in OTEL_EXPORTER_OTLP_ENDPOINT" in reason


@pytest.mark.parametrize("name", ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"])
@pytest.mark.parametrize("what", ["missing", "empty", "folder", "not PEM"])
def test_a_certificate_file_is_named_with_its_variable(
    tls_receiver: OtlpReceiver,
    certificates: Certificates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    what: str,
) -> None:
    path = tmp_path / "file.pem"
    if what == "folder":
        path.mkdir()
    elif what != "missing":
        path.write_text("" if what == "empty" else "no certificate")
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": tls_receiver.endpoint,
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificates.ca),
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(certificates.server),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(certificates.server),
        f"OTEL_EXPORTER_OTLP_{name}": str(path),
    }
    reason = send(environ).reason or ""
    assert f"OTEL_EXPORTER_OTLP_{name}" in reason
    assert "not usable" in reason
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    doubts = " ".join(sovdev_validate_config().doubtful)
    if what in {"missing", "folder"}:
        assert f"OTEL_EXPORTER_OTLP_{name}={str(path)!r} is not usable" in doubts
        assert doubts.count("not usable") == 1


def test_a_certificate_file_that_may_not_be_read(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read each
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(certificates.ca))
    assert "not usable: this user may not read it" in " ".join(sovdev_validate_config().doubtful)
