"""Celery with a broker of files and worker processes that are really forked."""

import logging
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from celery.app import trace
from celery.worker.consumer import consumer
from celery.worker.request import Request

from sovdev_logger.integrations import celery, stdlib
from sovdev_logger.testing import Captured
from support.otlp_receiver import OtlpReceiver
from support.processes import run, unmeasured
from support.service import environment

HERE = Path(__file__).parent


def start_worker(
    folder: Path, receiver: OtlpReceiver, *arguments: str
) -> "subprocess.Popen[bytes]":
    worker = [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "--loglevel=INFO"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with (folder / "worker.txt").open("wb") as said:
        return subprocess.Popen(
            [*worker, *quiet, *arguments],
            env={**unmeasured(), **variables(folder, receiver)},
            cwd=HERE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )


def variables(folder: Path, receiver: OtlpReceiver) -> dict[str, str]:
    return environment(
        folder,
        CELERY_FOLDER=str(folder / "broker"),
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        LOG_TO_FILE="false",
        PYTHONPATH=str(HERE),
    )


def send(folder: Path, receiver: OtlpReceiver, code: str) -> str:
    body = "import sovdev_logger as log\nfrom celery_app import add, again, fail\n" + code
    return run(folder, body, variables(folder, receiver))[0]


def outcomes(receiver: OtlpReceiver) -> Counter[str]:
    """Count what is said of tasks, but that they were received."""
    told = [message for message in receiver.messages() if message.startswith("Task ")]
    return Counter(message for message in told if not message.endswith("received"))


def stop(worker: "subprocess.Popen[bytes]") -> None:
    worker.send_signal(signal.SIGTERM)
    try:
        worker.wait(40)
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


@pytest.mark.parametrize("arguments", [["-c2"], ["-c2", "--max-tasks-per-child=1"]])
def test_each_task_has_an_entry_and_a_span(
    tmp_path: Path, arguments: list[str], sized: Callable[..., int]
) -> None:
    count = sized(200, full=1000) if len(arguments) == 1 else sized(10, full=40)
    with OtlpReceiver() as receiver:
        worker = start_worker(tmp_path, receiver, *arguments)
        try:
            trace = send(
                tmp_path,
                receiver,
                f"""
with log.sovdev_span("sender") as span:
    for number in range({count}):
        add.delay(number)
print(span.trace_id, end="")
log.sovdev_shutdown()
""",
            )
            done = "Task celery_app.add succeeded"
            receiver.wait_for(lambda r: outcomes(r)[done] >= count, timeout_seconds=200)
        finally:
            stop(worker)
        assert outcomes(receiver) == {done: count}
        inside = Counter(m for m in receiver.messages() if m.startswith("inside"))
        assert inside == {f"inside {number}": 1 for number in range(count)}
        names = {
            pair.value.string_value
            for _, _, _, record in receiver.log_records()
            if record.body.string_value.startswith("inside")
            for pair in record.attributes
            if pair.key == "client_name"
        }
        assert len(names) == count  # each task has its own id for a name
        spans = [span for _, _, _, span in receiver.spans() if span.name == "run celery_app.add"]
        assert len({span.span_id for span in spans}) == len(spans) == count
        assert {span.trace_id.hex() for span in spans} == {trace}


def test_failures_and_retries(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        worker = start_worker(tmp_path, receiver, "-c1")
        try:
            send(tmp_path, receiver, "fail.delay(1)\nagain.delay(2)\n")
            receiver.wait_for(lambda r: sum(outcomes(r).values()) >= 3, timeout_seconds=120)
        finally:
            stop(worker)
        assert outcomes(receiver) == {
            "Task celery_app.fail failed": 1,
            "Task celery_app.again is retried": 1,
            "Task celery_app.again failed": 1,
        }
        told = [
            {p.key: p.value.string_value for p in record.attributes}.get("exception_message")
            for _, _, _, record in receiver.log_records()
        ]
        assert told.count("no 1") == 1
        assert told.count("away 2") == 2


def captured(
    capture: Captured, name: str, message: object, *values: object, **extra: object
) -> str:
    """Return the entry of a record of Celery's, as its handlers get it, in one text."""
    logger, handler = logging.getLogger(name), stdlib.SovdevHandler()
    logger.addHandler(handler)
    others: list[str] = []
    other = logging.Handler()
    other.emit = lambda record: others.append(f"{record.getMessage()} {vars(record).get('data')}")  # type: ignore[method-assign]
    logger.addHandler(other)
    try:
        logger.critical(message, *values, extra=extra)
    finally:
        logger.removeHandler(handler)
        logger.removeHandler(other)
    assert "t0p" in others[0]  # Celery's own handlers get the record as it is
    return f"{capture.entries[-1]['message']} {capture.entries[-1]['input_json']}"


def request() -> object:
    """Return what is like Celery's: its repr shows the arguments, its text does not."""
    shown = {"__str__": lambda self: "orders.pay[17]", "__repr__": lambda self: "<17 ('t0p',)>"}
    return type("Request", (), {"__module__": Request.__module__, **shown})()


HEADERS = {"id": "17", "argsrepr": "('t0p',)", "kwargsrepr": "{}"}
DATA = {"id": "17", "name": "orders.pay", "args": "('t0p',)", "kwargs": "{'t0p': 1}"}


@pytest.mark.parametrize(
    ("name", "template", "values"),
    [
        ("celery.worker.strategy", trace.LOG_RECEIVED, (DATA,)),
        ("celery.app.trace", trace.LOG_FAILURE, ({**DATA, "exc": "E", "description": "failed"},)),
        (
            "celery.worker.consumer.consumer",
            consumer.UNKNOWN_TASK_ERROR,
            ("17", "t0p", HEADERS, {}),
        ),
        ("celery.worker.consumer.consumer", consumer.INVALID_TASK_ERROR, ("17", "t0p")),
        ("celery.worker.consumer.consumer", consumer.UNKNOWN_FORMAT, ("t0p, 17",)),
        (
            "celery.worker.consumer.consumer",
            consumer.MESSAGE_DECODE_ERROR,
            ("17", "json", "utf-8", str(HEADERS), "t0p"),
        ),
        ("celery.worker.consumer.consumer", "Failed to cancel active request %r", (request(),)),
        ("celery.worker.strategy", "Couldn't convert ETA %r. Task: %r", ("17", DATA)),
        ("celery.concurrency.base", "TaskPool: Apply %s (args:%s kwargs:%s)", ("17", "t0p", "t0p")),
    ],
)
def test_celerys_own_records_carry_no_arguments(
    monkeypatch: pytest.MonkeyPatch,
    sovdev_capture: Captured,
    name: str,
    template: str,
    values: tuple[object, ...],
) -> None:
    monkeypatch.setitem(stdlib._adaptations, "celery", celery._without_arguments)
    told = captured(sovdev_capture, name, template, *values, data=DATA)
    assert "17" in told
    assert "t0p" not in told
