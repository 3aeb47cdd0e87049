"""Makes finished entries for tests of single outputs."""

from typing import Any

from sovdev_logger._entry.entry import Entry
from sovdev_logger._entry.identifiers import Clock, new_uuid
from sovdev_logger._entry.levels import BY_EXACT_NAME
from sovdev_logger._safety.json_encoding import Fragment

NOW_NS = 1_700_000_000_123_456_789
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


def make_entry(level: str = "info", time_ns: int = NOW_NS, **fields: Any) -> Entry:
    """Return an entry with ordinary values; ``fields`` replaces or adds some."""
    entry = Entry()
    entry.sample_rate = entry.call_site = None
    entry.level = BY_EXACT_NAME[level]
    entry.time_ns = time_ns
    entry.fields = {
        "timestamp": Clock().iso(time_ns),
        "level": level,
        "service_name": "orders",
        "service_version": "1.0.0",
        "session_id": "5cbb4d4a-9d7f-4f3c-8a1b-0f0a1c2d3e4f",
        "peer_service": "SYS1234567",
        "function_name": "place",
        "log_type": "transaction",
        "message": "Order placed",
        "trace_id": TRACE_ID,
        "event_id": new_uuid(),
        "input_json": Fragment(b'{"order":17}'),
        "response_json": Fragment(b"null"),
        **fields,
    }
    entry.input_text = b'{"order":17}'
    entry.response_text = b"null"
    entry.trace_digits = TRACE_ID
    entry.exception = None
    entry.line_cache = None
    return entry
