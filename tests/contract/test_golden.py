"""What each call writes to the file and sends over OTLP, compared with what it always was.

After a change that is meant to alter entries, record anew and read the difference:
``RECORD_GOLDEN=1 pytest tests/contract/test_golden.py``.
"""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from sovdev_logger import sovdev_flush
from support import service
from support.golden_calls import CALLS, GIVEN_TRACE
from support.otlp_receiver import OtlpReceiver

CORPUS = Path(__file__).parent / "golden_entries.jsonl"

# What differs from run to run, by its form; a form that changes is a change.
VARYING = {
    "TIMESTAMP": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"),
    "UUID": re.compile(
        r"(?<=_id\":\")[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-\w{12}\b"
    ),
    "TRACE": re.compile(rf"\b(?!{GIVEN_TRACE})[0-9a-f]{{32}}\b"),
    "SPAN": re.compile(r"(?<=span_id\":\")[0-9a-f]{16}\b"),
}
LONGEST_SHOWN = 2000


def without_what_varies(text: str) -> str:
    for name, form in VARYING.items():
        text = form.sub(f"[{name}]", text)
    if len(text) <= LONGEST_SHOWN:
        return text
    return f"{text[:500]}[{len(text)} characters]{text[-500:]}"


def plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(one) for one in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def decoded(record: LogRecord) -> str:
    assert record.time_unix_nano > 0
    fields = {pair.key: plain(pair.value) for pair in record.attributes}
    assert len(fields) == len(record.attributes)
    return json.dumps(
        {
            "severity": [record.severity_number, record.severity_text],
            "body": plain(record.body),
            "attributes": fields,
            "trace_id": record.trace_id.hex(),
            "span_id": record.span_id.hex(),
            "flags": record.flags,
            "rest": [record.dropped_attributes_count, record.event_name],
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def run_calls(start: Callable[..., Any]) -> list[dict[str, Any]]:
    """Make each call and return its lines and its records, in order."""
    with OtlpReceiver() as receiver:
        started = start(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, SOVDEV_LOG_LEVEL="trace")
        counts = []
        for call in CALLS.values():
            before = count_lines(started.log_path)
            call()
            counts.append(count_lines(started.log_path) - before)
        sovdev_flush()
        lines = started.log_path.read_text(encoding="utf-8").split("\n")[:-1]
        records = [decoded(record) for _, _, _, record in receiver.log_records()]
        service.stop()
    assert len(records) == len(lines)
    found, at = [], 0
    for name, count in zip(CALLS, counts, strict=True):
        found.append(
            {
                "call": name,
                "lines": [without_what_varies(one) for one in lines[at : at + count]],
                "otlp": [without_what_varies(one) for one in records[at : at + count]],
            }
        )
        at += count
    return found


def test_every_call_writes_what_it_always_wrote(start: Callable[..., Any]) -> None:
    found = run_calls(start)
    if os.environ.get("RECORD_GOLDEN"):
        text = "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in found)
        CORPUS.write_text(text, encoding="utf-8")
    wanted = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").split("\n") if line]
    assert [one["call"] for one in found] == [one["call"] for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one == other
