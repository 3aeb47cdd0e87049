"""Applications with global OpenTelemetry providers of their own; each in a process of its own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from support.otlp_receiver import OtlpReceiver, attributes
from support.service import environment, read_lines


def run(folder: Path, program: str, **variables: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        env={**os.environ, **environment(folder, **variables)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return finished.stdout


WITH_TRACER = """
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    import sovdev_logger as log

    exported = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
"""
USE_TRACER = """
    with trace.get_tracer("app").start_as_current_span("theirs"):
        with log.sovdev_start_span("ours", peer_service="BRREG"):
            log.sovdev_log("info", "f", "inside", None)
    spans = exported.get_finished_spans()
    assert [span.name for span in spans] == ["ours", "theirs"], spans
    assert spans[0].parent.span_id == spans[1].context.span_id
    assert spans[0].attributes["peer.service"] == "SYS1"
    log.sovdev_shutdown()
    with trace.get_tracer("app").start_as_current_span("after our shutdown"):
        pass
    assert len(exported.get_finished_spans()) == 3
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("with_endpoint", [False, True])
def test_the_applications_tracer_provider_is_used(
    tmp_path: Path, when: str, with_endpoint: bool
) -> None:
    setting = "    trace.set_tracer_provider(provider)\n"
    initialising = '    log.sovdev_initialize("orders", "1.0.0", {"BRREG": "SYS1"})\n'
    steps = [setting, initialising] if when == "before" else [initialising, setting]
    with OtlpReceiver() as receiver:
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint} if with_endpoint else {}
        run(tmp_path, WITH_TRACER + "".join(steps) + USE_TRACER, **endpoint)
        assert receiver.spans() == []
        assert receiver.messages() == (["inside"] if with_endpoint else [])
    entry = read_lines(tmp_path / "dev.log")[0]
    assert "span_id" in entry


def test_a_provider_that_raises_hurts_nobody(tmp_path: Path) -> None:
    finished = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(
                """
                from opentelemetry import trace
                from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
                import sovdev_logger as log

                class Raises(SpanProcessor):
                    def on_start(self, span, parent_context=None):
                        if span.name == "bad start":
                            raise ZeroDivisionError
                    def on_end(self, span):
                        raise ZeroDivisionError

                provider = TracerProvider()
                provider.add_span_processor(Raises())
                trace.set_tracer_provider(provider)
                log.sovdev_initialize("orders")
                for name in ("bad start", "bad end"):
                    span = log.sovdev_start_span(name)
                    log.sovdev_log("info", "f", name, None)
                    log.sovdev_end_span(span, ValueError("x"))
                log.sovdev_log("info", "f", "outside", None)
                """
            ),
        ],
        env={**os.environ, **environment(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert finished.stderr.count("raised ZeroDivisionError at a span's") == 2
    entries = read_lines(tmp_path / "dev.log")
    assert ["span_id" in entry for entry in entries] == [True, True, False]


def test_no_global_provider_is_set(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        run(
            tmp_path,
            """
            import logging
            root_before = (logging.getLogger().handlers[:], logging.getLogger().level)
            import sovdev_logger as log
            log.sovdev_initialize("orders")
            from opentelemetry import metrics, trace
            from opentelemetry._logs import get_logger_provider
            assert "Proxy" in type(trace.get_tracer_provider()).__name__
            assert "Proxy" in type(metrics.get_meter_provider()).__name__
            assert "Proxy" in type(get_logger_provider()).__name__
            assert (logging.getLogger().handlers[:], logging.getLogger().level) == root_before
            assert logging.getLevelName(5) == "Level 5"
            """,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        )


def test_the_applications_logger_provider_gets_the_entries(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        run(
            tmp_path,
            """
            from opentelemetry._logs import set_logger_provider
            from opentelemetry.sdk._logs import LoggerProvider
            from opentelemetry.sdk._logs.export import (
                BatchLogRecordProcessor, InMemoryLogRecordExporter,
            )
            exported = InMemoryLogRecordExporter()
            provider = LoggerProvider()
            provider.add_log_record_processor(BatchLogRecordProcessor(exported))
            set_logger_provider(provider)

            import sovdev_logger as log
            log.sovdev_initialize("orders", "1.0.0", {"BRREG": "SYS1"})
            with log.sovdev_start_span("work") as span:
                log.sovdev_log("fatal", "f", "in a span", "BRREG", {"a": 1})
            log.sovdev_log("trace", "f", "outside", None, trace_id="order-17")
            log.sovdev_log("trace", "f", "outside", None)
            log.sovdev_flush()
            outputs = log.sovdev_status().outputs
            assert (outputs["otlp_logs"].logged, outputs["otlp_logs"].sampled_out) == (3, 1)
            found = [one.log_record for one in exported.get_finished_logs()]
            assert [record.body for record in found] == ["in a span", "outside"]
            assert [record.severity_number.value for record in found] == [21, 1]
            assert [record.severity_text for record in found] == ["FATAL", "TRACE"]
            assert f"{found[0].trace_id:032x}" == span.trace_id
            assert f"{found[0].span_id:016x}" == span.span_id
            assert found[1].trace_id == 0
            assert found[0].attributes["input_json"] == '{"a":1}'
            assert found[0].attributes["peer_service"] == "SYS1"
            assert found[0].attributes["session_id"]
            assert found[1].attributes["trace_id"] == "order-17"
            assert found[0].attributes["sample_rate"] == 1.0
            log.sovdev_shutdown()
            log.sovdev_log("info", "f", "after our shutdown", None)
            provider.force_flush()
            assert len(exported.get_finished_logs()) == 3
            """,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            SOVDEV_SAMPLING="local",
            SOVDEV_SAMPLING_FALLBACK_RATE="0",
        )
        assert receiver.log_records() == []


def test_the_applications_meter_provider_gets_the_counts(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        run(
            tmp_path,
            """
            from opentelemetry import metrics
            from opentelemetry.sdk.metrics import MeterProvider
            from opentelemetry.sdk.metrics.export import InMemoryMetricReader
            reader = InMemoryMetricReader()
            metrics.set_meter_provider(MeterProvider([reader]))

            import sovdev_logger as log
            log.sovdev_initialize("orders")
            with log.sovdev_start_span("work"):
                log.sovdev_log("error", "f", "m", None)
            log.sovdev_flush()
            data = reader.get_metrics_data()
            found = {
                metric.name: list(metric.data.data_points)
                for resource in data.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
            }
            assert found["sovdev_operations_total"][0].value == 1
            assert found["sovdev_errors_total"][0].value == 1
            assert found["sovdev_operations_active"][0].value == 0
            assert found["sovdev_operation_duration"][0].count == 1
            """,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        )
        assert receiver.metrics() == {}
        assert [attributes(record.attributes)["log_type"] for *_, record in receiver.log_records()]


def test_a_provider_whose_flush_hangs_does_not_hold_ours(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        import threading, time
        from opentelemetry._logs import set_logger_provider
        from opentelemetry.sdk._logs import LoggerProvider

        class Hanging(LoggerProvider):
            def force_flush(self, timeout_millis=30000):
                threading.Event().wait(60)

        set_logger_provider(Hanging(shutdown_on_exit=False))
        import sovdev_logger as log
        from sovdev_logger._service.instance import instance
        log.sovdev_initialize("orders")
        started = time.monotonic()
        instance.service.flush(0.2)
        assert time.monotonic() - started < 5
        """,
        SOVDEV_EXIT_TIMEOUT_SECONDS="0.2",
    )


def test_without_an_endpoint_the_sdk_is_not_imported(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        import sys
        import sovdev_logger as log
        log.sovdev_initialize("orders")
        log.sovdev_log("info", "f", "m", None)
        with log.sovdev_start_span("work"):
            pass
        log.sovdev_flush()
        heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "urllib3", "requests", "google")
        assert not [name for name in sys.modules if name.startswith(heavy)]
        """,
    )
    assert len(read_lines(tmp_path / "dev.log")) == 1
