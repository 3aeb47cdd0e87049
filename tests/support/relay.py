"""A relay that behaves as the real receiver: over real gRPC, strict about what it decodes."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
from google.protobuf.unknown_fields import UnknownFieldSet

from support import relay_pb2 as wire

MAX_MESSAGE_BYTES = 4 * 1024 * 1024


class FakeRelay:
    """Listens on a port of this machine while used as a context manager.

    Attributes:
        entries: The JSON of each accepted entry, in order.
        ids: Its id.
        opens: Each ``StreamOpen``, with the call's metadata.
        closes: How many streams were ended with ``StreamClose``.
        faults: What no client should send.
        rejects: Says why an entry is rejected, None if it is not.
        refuses: Says with which status a stream is refused.
        junk: Is sent in place of each acknowledgement after the stream's opening.
        is_mute: Whether it stops reading, as one that is full does.
        ends_after: Ends each stream after so many entries, without an acknowledgement.
    """

    def __init__(self, port: int = 0, credentials: Any = None) -> None:
        self.entries: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.opens: list[tuple[Any, dict[str, str]]] = []
        self.closes = 0
        self.faults: list[str] = []
        self.rejects: Callable[[dict[str, Any]], str | None] = lambda entry: None
        self.refuses: tuple[grpc.StatusCode, str] | None = None
        self.required_headers: dict[str, str] = {}
        self.junk: bytes | None = None
        self.is_mute = False
        self.ends_after: int | None = None
        self.pause_seconds = 0.0
        self._changed = threading.Condition()
        self._leaving = threading.Event()
        self._threads = futures.ThreadPoolExecutor(8)
        self._server = grpc.server(
            self._threads,
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),
            ],
        )
        handler = grpc.stream_stream_rpc_method_handler(
            self._receive,
            request_deserializer=None,
            response_serializer=lambda ack: (
                ack if isinstance(ack, bytes) else ack.SerializeToString()
            ),
        )
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "electrician.RelayService", {"StreamReceive": handler}
                ),
            )
        )
        address = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def messages(self) -> list[str]:
        return [entry["msg"] for entry in list(self.entries)]

    def __enter__(self) -> "FakeRelay":
        self._server.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.stop()
        if kind is None:
            assert self.faults == []

    def stop(self) -> None:
        """Cut every stream, as a receiver does that is killed."""
        self._leaving.set()
        with self._changed:
            self._changed.notify_all()
        self._server.stop(0).wait(10)
        self._threads.shutdown()

    def wait_for(
        self, predicate: Callable[["FakeRelay"], bool], timeout_seconds: float = 15
    ) -> None:
        """Wait until ``predicate`` holds; it is tried after every entry."""
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while not predicate(self):
                left = deadline - time.monotonic()
                assert left > 0, f"not within {timeout_seconds} s; got {len(self.entries)}"
                self._changed.wait(min(left, 0.1))

    def go_on(self) -> None:
        """Read again."""
        with self._changed:
            self.is_mute = False
            self._changed.notify_all()

    def _receive(self, requests: Iterator[bytes], context: Any) -> Iterator[Any]:
        metadata = dict(context.invocation_metadata())
        if any(metadata.get(name) != value for name, value in self.required_headers.items()):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "missing or wrong header")
        if self.refuses is not None:
            context.abort(*self.refuses)
        stream = _StreamState()
        for raw in requests:
            self._wait_while_mute()
            envelope = wire.RelayEnvelope.FromString(raw)
            self._look_for_faults(envelope)
            kind = envelope.WhichOneof("msg")
            if kind == "open":
                stream.begin(envelope.open)
                with self._changed:
                    self.opens.append((envelope.open, metadata))
                    self._changed.notify_all()
                if stream.mode != wire.ACK_NONE:
                    yield wire.StreamAcknowledgment(
                        success=True, message="Stream open accepted", stream_id=stream.id
                    )
            elif kind == "close":
                with self._changed:
                    self.closes += 1
                    self._changed.notify_all()
                yield from stream.final("Stream closed")
                return
            elif kind == "payload":
                error = self._take(envelope.payload)
                for ack in stream.acknowledge(envelope.payload, error):
                    yield ack if self.junk is None else self.junk
                if self.ends_after is not None and stream.count >= self.ends_after:
                    return
        yield from stream.final("EOF")

    def _wait_while_mute(self) -> None:
        with self._changed:
            while self.is_mute and not self._leaving.is_set():
                self._changed.wait(0.1)
        if self.pause_seconds:
            self._leaving.wait(self.pause_seconds)

    def _take(self, payload: Any) -> str | None:
        """Accept an entry; return why it is rejected."""
        try:
            entry = json.loads(payload.payload, parse_constant=_refuse)
        except ValueError as error:
            return str(error)
        if not isinstance(entry, dict):
            return "not an object"
        refusal = self.rejects(entry)
        if refusal is None:
            self._check(payload, entry)
            with self._changed:
                self.entries.append(entry)
                self.ids.append(payload.id)
                self._changed.notify_all()
        return refusal

    def _check(self, payload: Any, entry: dict[str, Any]) -> None:
        """Note what the real receiver would take in silence."""
        if payload.metadata.content_type != "application/json":
            self.faults.append("content type")
        if payload.payload_type != "electrician.log.v1" != entry.get("log_schema"):
            self.faults.append("schema")
        if not payload.id:
            self.faults.append("no id")
        if entry.get("level") not in {"debug", "info", "warn", "error", "fatal"}:
            self.faults.append(f"level {entry.get('level')}")
        if _has_inexact_number(entry):
            self.faults.append("a number that changes")

    def _look_for_faults(self, envelope: Any) -> None:
        message = envelope
        while message is not None:
            if len(UnknownFieldSet(message)):
                self.faults.append(f"unknown fields in {type(message).__name__}")
            kind = (
                message.WhichOneof("msg")
                if hasattr(message, "WhichOneof") and (message.DESCRIPTOR.name == "RelayEnvelope")
                else None
            )
            message = getattr(message, kind) if kind else None


class _StreamState:
    def __init__(self) -> None:
        self.id = ""
        self.mode = wire.ACK_PER_MESSAGE
        self.every = 1024
        self.count = 0
        self._ok = self._errors = 0
        self._last = 0

    def begin(self, opening: Any) -> None:
        self.id = opening.stream_id
        self.mode = opening.ack_mode or wire.ACK_PER_MESSAGE
        self.every = opening.ack_every_n or 1024

    def acknowledge(self, payload: Any, error: str | None) -> Iterator[Any]:
        self.count += 1
        if self.mode == wire.ACK_PER_MESSAGE:
            yield wire.StreamAcknowledgment(
                success=error is None,
                message=error or "OK",
                stream_id=self.id,
                id=payload.id,
                seq=payload.seq,
                code=int(error is not None),
            )
            return
        self._ok += error is None
        self._errors += error is not None
        self._last = payload.seq
        if self._ok + self._errors >= self.every:
            yield self._batch("Batch ack")

    def final(self, message: str) -> Iterator[Any]:
        if self.mode == wire.ACK_BATCH and self._ok + self._errors:
            yield self._batch(message)

    def _batch(self, message: str) -> Any:
        ack = wire.StreamAcknowledgment(
            success=not self._errors,
            message=message,
            stream_id=self.id,
            last_seq=self._last,
            ok_count=self._ok,
            err_count=self._errors,
        )
        self._ok = self._errors = 0
        return ack


def _has_inexact_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return abs(value) > 2**53
    if isinstance(value, dict):
        return any(map(_has_inexact_number, value.values()))
    return isinstance(value, list) and any(map(_has_inexact_number, value))


def _refuse(token: str) -> None:
    raise ValueError(token)
