"""The gRPC connection, against servers that do what a real one rarely does."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovdev_logger._outputs.relay.grpc_connection import (
    MAX_ANSWER_BYTES,
    GrpcConnection,
    StatusCode,
    framed,
)

Serve = Callable[[socket.socket], object]


@contextmanager
def server(*serves: Serve) -> Iterator[str]:
    """Answer each connection with the next of some functions."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        for serve in serves:
            with listener.accept()[0] as connection:
                serve(connection)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        thread.join(10)
        assert not thread.is_alive()


def answering(*frames: Callable[[h2.connection.H2Connection, int], None]) -> Serve:
    """Return a server that does these to the first call, and then reads until the client goes."""

    def serve(connection: socket.socket) -> None:
        protocol = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        protocol.initiate_connection()
        connection.sendall(protocol.data_to_send())
        # After a GOAWAY it takes nothing any more, and the client may be gone.
        with suppress(h2.exceptions.ProtocolError, ConnectionError):
            while data := connection.recv(65_536):
                for event in protocol.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        assert event.stream_id is not None
                        for frame in frames:
                            frame(protocol, event.stream_id)
                connection.sendall(protocol.data_to_send())

    return serve


def soon() -> float:
    return time.monotonic() + 10


def call(target: str) -> GrpcConnection:
    connection = GrpcConnection(target, None, soon())
    connection.call("/a.B/C", {"x": "y"}, soon())
    while connection.status is None:
        assert connection.receive(soon())
    connection.close()
    return connection


HEADERS = [(":status", "200"), ("content-type", "application/grpc")]


@pytest.mark.parametrize(
    ("headers", "code", "details"),
    [
        ([*HEADERS, ("grpc-status", "0")], StatusCode.OK, ""),
        (
            [*HEADERS, ("grpc-status", "16"), ("grpc-message", "who%20are you")],
            StatusCode.UNAUTHENTICATED,
            "who are you",
        ),
        ([*HEADERS, ("grpc-status", "99")], StatusCode.UNKNOWN, "without a status"),
        ([(":status", "403")], StatusCode.PERMISSION_DENIED, "HTTP 403"),
        ([(":status", "503")], StatusCode.UNAVAILABLE, "HTTP 503"),
        ([(":status", "418")], StatusCode.UNKNOWN, "HTTP 418"),
        ([(":status", "200")], StatusCode.UNKNOWN, "without a status"),
    ],
)
def test_how_a_call_ended(headers: list[tuple[str, str]], code: StatusCode, details: str) -> None:
    def answer(protocol: h2.connection.H2Connection, stream_id: int) -> None:
        protocol.send_headers(stream_id, headers, end_stream=True)

    with server(answering(answer)) as target:
        status = call(target).status
        assert status is not None
        assert status.code is code
        assert details in status.details


def test_messages_arrive_whole_however_they_are_cut() -> None:
    sent = [b"", b"a", b"b" * 40_000]
    whole = b"".join(framed(message) for message in sent)

    def answer(protocol: h2.connection.H2Connection, stream_id: int) -> None:
        protocol.send_headers(stream_id, HEADERS)
        for start in range(0, len(whole), 7_001):
            protocol.send_data(stream_id, whole[start : start + 7_001])
        protocol.send_headers(stream_id, [("grpc-status", "0")], end_stream=True)

    with server(answering(answer)) as target:
        connection = call(target)
        assert list(connection.messages) == sent
        assert connection.status == (StatusCode.OK, "")


@pytest.mark.parametrize(
    "junk", [b"\1\0\0\0\1x", b"\0" + (MAX_ANSWER_BYTES + 1).to_bytes(4, "big")]
)
def test_what_is_no_message_ends_the_call(junk: bytes) -> None:
    def answer(protocol: h2.connection.H2Connection, stream_id: int) -> None:
        protocol.send_headers(stream_id, HEADERS)
        protocol.send_data(stream_id, junk)

    with server(answering(answer)) as target:
        status = call(target).status
        assert status is not None
        assert (status.code, "not a gRPC message" in status.details) == (
            StatusCode.UNAVAILABLE,
            True,
        )


def test_a_reset_and_a_goaway_end_the_call() -> None:
    def reset(protocol: h2.connection.H2Connection, stream_id: int) -> None:
        protocol.reset_stream(stream_id, 7)

    def go_away(protocol: h2.connection.H2Connection, stream_id: int) -> None:
        protocol.close_connection()

    with server(answering(reset), answering(go_away)) as target:
        for words in ("reset", "going away"):
            status = call(target).status
            assert status is not None
            assert (status.code, words in status.details) == (StatusCode.UNAVAILABLE, True)


def test_a_server_of_another_kind_is_unavailable() -> None:
    def http_1(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with server(http_1) as target:
        status = call(target).status
        assert status is not None
        assert status.code is StatusCode.UNAVAILABLE


FRAMES = st.builds(
    lambda kind, flags, stream_id, payload: b"".join(
        (
            len(payload).to_bytes(3, "big"),
            bytes([kind, flags]),
            stream_id.to_bytes(4, "big"),
            payload,
        )
    ),
    st.integers(0, 9),
    st.integers(0, 255),
    st.sampled_from([0, 1, 2, 3]),
    st.binary(max_size=60) | st.just(framed(b"x")),
)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60) | FRAMES, max_size=6))
def test_whatever_a_server_sends_ends_the_call(junk: list[bytes]) -> None:
    def send(connection: socket.socket) -> None:
        connection.recv(65_536)
        with suppress(ConnectionError):
            connection.sendall(b"\0\0\0\4\0\0\0\0\0" + b"".join(junk))

    with server(send) as target:
        status = call(target).status
        assert status is not None
        assert status.code is not StatusCode.OK


def test_a_server_that_reads_nothing_costs_the_deadline_and_no_more() -> None:
    done = threading.Event()
    with server(lambda connection: done.wait(20)) as target:
        connection = GrpcConnection(target, None, soon())
        connection.call("/a.B/C", {}, soon())
        began = time.monotonic()
        assert not connection.send(b"x" * 1_000_000, began + 0.3)
        assert not connection.receive(time.monotonic() + 0.1)
        assert time.monotonic() - began < 5
        assert connection.is_open
        done.set()
        connection.close()


def test_a_connection_that_went_away_meanwhile_is_noticed() -> None:
    with server(lambda connection: None) as target:
        connection = GrpcConnection(target, None, soon())
        deadline = time.monotonic() + 10
        while connection.is_open and time.monotonic() < deadline:
            connection.poll()
        assert not connection.is_open
        assert connection.status is not None
        assert connection.status.code is StatusCode.UNAVAILABLE


def test_another_thread_can_cut_a_call_that_waits() -> None:
    done = threading.Event()
    with server(lambda connection: done.wait(20)) as target:
        connection = GrpcConnection(target, None, soon())
        connection.call("/a.B/C", {}, soon())
        timer = threading.Timer(0.2, connection.close)
        timer.start()
        began = time.monotonic()
        while connection.status is None:
            connection.receive(began + 30)
        assert time.monotonic() - began < 10
        done.set()
        timer.join()
