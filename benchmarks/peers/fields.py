"""The fields that every peer writes, made in the cheapest way that is still right.

Trace and event ids come from ``random.getrandbits``: half the price of ``uuid.uuid4``, so that no
peer is slow by its ids.
"""

from random import getrandbits

import call


def new_trace_id() -> str:
    """Return 32 hex digits."""
    return f"{getrandbits(128):032x}"


def new_event_id() -> str:
    """Return a UUID v4."""
    digits = f"{getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


STATIC = {
    "service_name": call.SERVICE,
    "service_version": call.VERSION,
    "session_id": new_event_id(),
}
"""The same in every entry of a process; peers that can bind fields bind these once."""


def fields() -> dict[str, object]:
    """Return what differs from call to call, beside time, level and message."""
    return {
        "peer_service": call.SYSTEM,
        "function_name": call.FUNCTION,
        "log_type": call.LOG_TYPE,
        "trace_id": new_trace_id(),
        "event_id": new_event_id(),
        "input_json": call.INPUT,
        "response_json": call.RESPONSE,
    }
