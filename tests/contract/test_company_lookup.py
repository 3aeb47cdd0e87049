"""The company lookup: its file, OTLP records, spans and metrics agree with one another."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support import schema
from support.otlp_receiver import OtlpReceiver, attributes
from support.service import Entry, environment, read_lines

PROGRAM = Path(__file__).parents[2] / "examples" / "company_lookup.py"
NUMBERS = ["971277882", "915933149", "974652846", "916201478"]
NAMES = {
    "971277882": ("DIREKTORATET FOR UTVIKLINGSSAMARBEID (NORAD)", "Organisasjonsledd"),
    "915933149": ("DIREKTORATET FOR E-HELSE MELDT TIL OPPHØR", "Organisasjonsledd"),
    "916201478": ("KVISTADMANNEN AS", "Aksjeselskap"),
}
SERVICE = "sovdev-test-company-lookup-python"


def expected_entries() -> list[tuple[Any, ...]]:
    """Return log_type, level, function, peer, message, input, response of the 17 entries."""
    entries: list[tuple[Any, ...]] = [
        ("transaction", "info", "main", SERVICE, "Company Lookup Service started", None, None),
        job("Started", {"totalCompanies": 4}),
    ]
    for item, number in enumerate(NUMBERS, start=1):
        asked = {"organisasjonsnummer": number}
        progress = {
            "job_name": "BatchProcessing",
            "item_id": number,
            "current_item": item,
            "total_items": 4,
            "progress_percentage": 25 * item,
            **asked,
        }
        message = f"Processing {number} ({item}/4)"
        entries.append(
            ("job.progress", "info", "batchLookup", "SYS1234567", message, progress, None)
        )
        entries.append(lookup("info", f"Looking up company {number}", asked, None))
        if number in NAMES:
            name, form = NAMES[number]
            found = {"navn": name, "organisasjonsform": form}
            entries.append(lookup("info", f"Company found: {name}", asked, found))
        else:
            entries.append(lookup("error", f"Failed to lookup company {number}", asked, None))
            failed = {**asked, "itemNumber": item}
            message = f"Batch item {item} failed"
            entries.append(
                ("transaction", "error", "batchLookup", "SYS1234567", message, failed, None)
            )
    summary = {"totalCompanies": 4, "successful": 3, "failed": 1, "successRate": "75%"}
    entries.append(job("Completed", summary))
    entries.append(
        ("transaction", "info", "main", SERVICE, "Company Lookup Service finished", None, None)
    )
    return entries


def job(status: str, more: dict[str, Any]) -> tuple[Any, ...]:
    name = "CompanyLookupBatch"
    given = {"job_name": name, "job_status": status, **more}
    return ("job.status", "info", "batchLookup", SERVICE, f"Job {status}: {name}", given, None)


def lookup(level: str, message: str, asked: Any, found: Any) -> tuple[Any, ...]:
    return ("transaction", level, "lookupCompany", "SYS1234567", message, asked, found)


def run(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, str(PROGRAM)],
        env={**plain, **environment(folder, **variables)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


@pytest.fixture(scope="module")
def with_otlp(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run the program once against a real receiver."""
    folder = tmp_path_factory.mktemp("lookup")
    with OtlpReceiver() as receiver:
        finished = run(folder, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        yield finished, read_lines(folder / "dev.log"), receiver


def test_the_file_has_the_17_entries(with_otlp: Any) -> None:
    _, entries, _ = with_otlp
    names = ("log_type", "level", "function_name", "peer_service", "message")
    found = [
        (*(entry[name] for name in names), entry["input_json"], entry["response_json"])
        for entry in entries
    ]
    assert found == expected_entries()


def test_the_two_entries_of_a_lookup_share_a_trace_and_there_are_13(with_otlp: Any) -> None:
    _, entries, _ = with_otlp
    traces = Counter(entry["trace_id"] for entry in entries)
    assert len(traces) == 13
    shared = {trace for trace, count in traces.items() if count == 2}
    assert len(shared) == 4
    for entry in entries:
        in_span = entry["function_name"] == "lookupCompany"
        assert ("span_id" in entry) == in_span == (entry["trace_id"] in shared)


def test_the_failed_lookup_is_described_twice_with_the_same_exception(with_otlp: Any) -> None:
    _, entries, _ = with_otlp
    failed = [entry for entry in entries if "exception_type" in entry]
    assert [entry["level"] for entry in failed] == ["error", "error"]
    assert {entry["exception_type"] for entry in failed} == {"Error"}
    assert {entry["exception_message"] for entry in failed} == {"HTTP 404: "}


def test_every_line_satisfies_the_schema(with_otlp: Any, tmp_path: Path) -> None:
    run(tmp_path)
    lines = (tmp_path / "dev.log").read_bytes().splitlines(keepends=True)
    assert [fault for line in lines for fault in schema.faults_of(line)] == []
    assert len(lines) == 17


def test_otlp_records_agree_with_the_file(with_otlp: Any) -> None:
    _, entries, receiver = with_otlp
    records = receiver.log_records()
    assert [as_file_entry(*record) for record in records] == [
        without_json_values(entry) for entry in entries
    ]


def as_file_entry(resource: Any, scope: str, version: str, record: Any) -> Entry:
    """Return a decoded record as the file would have it, JSON values as text."""
    assert (scope, version) == (SERVICE, "1.0.0")
    found = attributes(record.attributes)
    assert record.severity_text == record.severity_text.upper()
    assert record.trace_id.hex() == found["trace_id"]
    assert record.span_id.hex() == found.get("span_id", "")
    found["level"] = record.severity_text.lower()
    found["message"] = record.body.string_value
    found["session_id"] = resource["session_id"]
    assert resource["service.name"] == SERVICE
    assert resource["service.version"] == "1.0.0"
    assert "deployment.environment.name" in resource
    return found


def without_json_values(entry: Entry) -> Entry:
    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    return {**entry, **{name: text(entry[name]) for name in ("input_json", "response_json")}}


def test_four_spans_of_which_the_third_failed(with_otlp: Any) -> None:
    _, entries, receiver = with_otlp
    spans = [span for _, _, _, span in receiver.spans()]
    assert [span.name for span in spans] == ["lookupCompany"] * 4
    numbers = [attributes(span.attributes)["organisasjonsnummer"] for span in spans]
    assert numbers == NUMBERS
    assert [span.status.code for span in spans] == [0, 0, 2, 0]
    assert {span.kind for span in spans} == {3}
    assert {attributes(span.attributes)["peer.service"] for span in spans} == {"SYS1234567"}
    in_spans = {(e["trace_id"], e["span_id"]) for e in entries if "span_id" in e}
    assert {(span.trace_id.hex(), span.span_id.hex()) for span in spans} == in_spans
    event = spans[2].events[0]
    assert event.name == "exception"
    assert attributes(event.attributes)["exception.message"] == "HTTP 404: "


def test_metrics_agree_with_the_entries(with_otlp: Any) -> None:
    _, entries, receiver = with_otlp
    metrics = receiver.metrics()
    labels = ("peer_service", "level", "log_type")
    expected = Counter(tuple(entry[name] for name in labels) for entry in entries)
    points = metrics["sovdev_operations_total"]
    found = {
        (point["peer_service"], point["log_level"], point["log_type"]): value
        for point, value in points
    }
    assert found == expected
    assert sum(value for _, value in metrics["sovdev_errors_total"]) == 2
    assert {p["exception_type"] for p, _ in metrics["sovdev_errors_total"]} == {"Error"}
    assert [value for _, value in metrics["sovdev_operations_active"]] == [0]
    ((duration_labels, histogram),) = metrics["sovdev_operation_duration"]
    assert histogram.count == 4
    assert duration_labels["operation_name"] == "lookupCompany"


def test_nothing_is_printed_with_the_console_off(with_otlp: Any) -> None:
    finished, _, _ = with_otlp
    assert (finished.stdout, finished.stderr) == ("", "")


def test_the_service_name_may_come_from_the_environment(tmp_path: Path) -> None:
    run(tmp_path, OTEL_SERVICE_NAME="another-name")
    assert {entry["service_name"] for entry in read_lines(tmp_path / "dev.log")} == {"another-name"}


def test_a_collector_that_is_down_changes_nothing_but_the_warning(tmp_path: Path) -> None:
    finished = run(
        tmp_path,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        SOVDEV_EXIT_TIMEOUT_SECONDS="0.5",
    )
    assert finished.stdout == ""
    assert finished.stderr.startswith("[sovdev-logger] WARNING")
    assert len(read_lines(tmp_path / "dev.log")) == 17
