"""A service that logs to an Electrician relay; the relay is a small one of this example's own.

pip install "sovdev-logger[relay]" grpcio  # grpcio is for the relay
python examples/outputs/relay.py
"""

import json
import os
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc

import sovdev_logger as log
from sovdev_logger._delivery.protobuf import length_delimited, read_fields, varint_field

# Field numbers of the relay's messages.
OPEN, PAYLOAD = 1, 2
JSON, SEQ = 3, 6
SUCCESS, MESSAGE, LAST_SEQ, OK_COUNT = 1, 2, 9, 10


def receive(envelopes: Iterator[bytes], _context: Any) -> Iterator[bytes]:
    """Print what arrives, and acknowledge all of it when the stream ends."""
    count = last = 0
    for envelope in map(read_fields, envelopes):
        if OPEN in envelope:
            yield varint_field(SUCCESS, 1) + length_delimited(MESSAGE, b"Stream open accepted")
        elif PAYLOAD in envelope:
            payload: Any = read_fields(envelope[PAYLOAD])
            entry = json.loads(payload[JSON])
            print(f"the relay got: {entry['level']:5} {entry['msg']}", flush=True)
            count, last = count + 1, payload[SEQ]
        else:
            break
    yield varint_field(SUCCESS, 1) + varint_field(LAST_SEQ, last) + varint_field(OK_COUNT, count)


def start_relay() -> tuple[Any, str]:
    """Start the relay, and return it and where it is."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    handler = grpc.stream_stream_rpc_method_handler(receive)
    methods = {"StreamReceive": handler}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("electrician.RelayService", methods),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


def main() -> None:
    """Log three entries, and wait until they are acknowledged."""
    relay, os.environ["RELAY_TARGETS"] = start_relay()
    log.sovdev_initialize("payments")
    log.sovdev_log("info", "main", "Service started", None)
    log.sovdev_log("warn", "pay", "Card is about to expire", None, {"card": "visa"})
    log.sovdev_log("error", "pay", "Payment failed", None, {"order": 17})
    log.sovdev_shutdown()
    relay.stop(0).wait()


if __name__ == "__main__":
    main()
