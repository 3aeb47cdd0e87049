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
from sovdev_logger._outputs.relay import relay_pb2 as wire


def receive(envelopes: Iterator[Any], _context: Any) -> Iterator[Any]:
    """Print what arrives, and acknowledge all of it when the stream ends."""
    taken = last = 0
    for envelope in envelopes:
        kind = envelope.WhichOneof("msg")
        if kind == "open":
            yield wire.StreamAcknowledgment(success=True, message="Stream open accepted")
        elif kind == "payload":
            entry = json.loads(envelope.payload.payload)
            print(f"the relay got: {entry['level']:5} {entry['msg']}", flush=True)
            taken, last = taken + 1, envelope.payload.seq
        else:
            break
    yield wire.StreamAcknowledgment(success=True, last_seq=last, ok_count=taken)


def start_relay() -> tuple[Any, str]:
    """Start the relay, and return it and where it is."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    handler = grpc.stream_stream_rpc_method_handler(
        receive,
        request_deserializer=wire.RelayEnvelope.FromString,
        response_serializer=wire.StreamAcknowledgment.SerializeToString,
    )
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
