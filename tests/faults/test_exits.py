"""How a program starts and ends: exits, finalizers, hooks, and what it finds on the machine."""

import re
import textwrap
from pathlib import Path

import pytest

from support import schema
from support.otlp_receiver import OtlpReceiver
from support.processes import Hang, breaks_with, program, run
from support.service import read_lines


@breaks_with(exit_does_not_flush="receiver.messages() ==")
def test_what_is_queued_is_delivered_at_a_normal_exit(tmp_path: Path) -> None:
    body = """
    for number in range(100):
        with log.sovdev_start_span("work"):
            log.sovdev_log("info", "f", f"number {number}", None)
    """
    with OtlpReceiver() as receiver:
        out, err = run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert receiver.messages() == [f"number {number}" for number in range(100)]
        assert len(receiver.spans()) == 100
        assert receiver.metrics()["sovdev_operations_total"][0][1] == 100
    assert (out, err) == ("", "")


@pytest.mark.parametrize("ending", ["sys.exit(3)", "raise ValueError('x')"])
def test_the_same_when_the_program_ends_otherwise(tmp_path: Path, ending: str) -> None:
    body = f"log.sovdev_log('info', 'f', 'last words', None)\n{ending}"
    with OtlpReceiver() as receiver:
        run(
            tmp_path,
            program(body),
            code=3 if "exit" in ending else 1,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        )
        assert receiver.messages() == ["last words"]


@breaks_with(file_loses_5_percent="expected <= set(messages)")
def test_the_last_words_of_finalizers_hooks_and_daemons(tmp_path: Path) -> None:
    body = """
    import atexit
    class Last:
        def __init__(self, name): self.name = name
        def __del__(self): log.sovdev_log("info", "del", self.name, None)
    atexit.register(lambda: [log.sovdev_log("info", "exit", f"hook {n}", None) for n in range(40)])
    kept = Last("at teardown")
    class Cycle(Last): pass
    one, other = Cycle("in a cycle"), Cycle("in a cycle")
    one.other, other.other = other, one
    del one, other
    import gc
    gc.collect()  # left to the end, it would log after the exit hook
    Last("at once")
    def work():
        number = 0
        while True:
            log.sovdev_log("info", "daemon", f"daemon {number}", None)
            number += 1
    threading.Thread(target=work, daemon=True).start()
    time.sleep(0.05)
    """
    with OtlpReceiver() as receiver:
        out, err = run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        delivered = receiver.messages()
    # The daemon does not stop when the exit hook has shut down; that is said, and nothing else.
    assert "Traceback" not in err
    assert {line for line in err.splitlines() if "after the exit hook" not in line} <= {
        line for line in err.splitlines() if "entries were dropped" in line
    }
    assert out == ""
    messages = [entry["message"] for entry in read_lines(tmp_path / "dev.log")]
    daemon = [message for message in messages if message.startswith("daemon")]
    expected = {"at once", "in a cycle", *(f"hook {number}" for number in range(40))}
    assert expected <= set(delivered)
    expected |= {f"daemon {number}" for number in range(len(daemon))}
    assert expected <= set(messages)
    assert daemon == [f"daemon {number}" for number in range(len(daemon))]
    assert len(daemon) > 10


@breaks_with(
    reentry_is_refused='shown.count("from a stream")',
    reentry_deadlocks=Hang("in submit"),
)
def test_objects_that_log_while_they_are_logged(tmp_path: Path) -> None:
    body = """
    class Talks:
        def __repr__(self):
            log.sovdev_log("info", "repr", "from a repr", None)
            return "Talks()"
    class Deep:
        depth = 0
        def __str__(self):
            Deep.depth += 1
            if Deep.depth < 20:
                log.sovdev_log("info", "str", f"depth {Deep.depth}", None, {"x": Deep()})
            return "Deep()"
        __repr__ = __str__
    class Stream:
        def __init__(self, stream): self.stream = stream
        def write(self, text):
            if "from a stream" not in text:
                log.sovdev_log("info", "stream", "from a stream", None)
            return self.stream.write(text)
        def flush(self): self.stream.flush()
    sys.stderr = Stream(sys.stderr)
    log.sovdev_log("info", "f", "talks", None, {"x": Talks()})
    log.sovdev_log("info", "f", Deep(), None)
    log.sovdev_flush()
    """
    with OtlpReceiver() as receiver:
        _, shown = run(
            tmp_path,
            program(body),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            LOG_TO_CONSOLE="true",
        )
        delivered = receiver.messages()
    written = [entry["message"] for entry in read_lines(tmp_path / "dev.log")]
    for found in (written, delivered):
        assert found.count("talks") == found.count("from a repr") == 1
        assert {f"depth {number}" for number in range(1, 20)} <= set(found)
        # Each line on the console made one more entry, which had its line too.
        assert found.count("from a stream") == sum(one != "from a stream" for one in found)
    assert shown.count("from a stream") == written.count("from a stream")


def test_exit_hooks_before_and_after_ours(tmp_path: Path) -> None:
    body = """
    import atexit
    import sovdev_logger as log
    atexit.register(lambda: log.sovdev_log("info", "f", "after ours", None))
    log.sovdev_initialize("orders")
    atexit.register(lambda: log.sovdev_log("info", "f", "before ours", None))
    """
    with OtlpReceiver() as receiver:
        run(tmp_path, body, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert receiver.messages() == ["before ours"]
    messages = [entry["message"] for entry in read_lines(tmp_path / "dev.log")]
    assert messages == ["before ours", "after ours"]


@pytest.mark.parametrize("closed", ["sys.stderr.close()", "os.close(2)", "sys.stderr = None"])
def test_without_a_stderr_the_service_goes_on(tmp_path: Path, closed: str) -> None:
    body = f"""
    {closed}
    log.sovdev_log("loud", "f", "hello", "NOBODY")
    """
    run(tmp_path, program(body), LOG_TO_CONSOLE="true")
    assert read_lines(tmp_path / "dev.log")[0]["message"] == "hello"


def test_without_orjson_everything_works(tmp_path: Path) -> None:
    body = """
    import sys
    sys.modules["orjson"] = None
    """ + textwrap.indent(
        program("""
        log.sovdev_log("info", "f", "TIL OPPHØR", "BRREG", {"a": [1, {"password": "hunter2"}]}, 2.5)
        """),
        "    ",
    )
    with OtlpReceiver() as receiver:
        run(tmp_path, body, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert receiver.messages() == ["TIL OPPHØR"]
    line = (tmp_path / "dev.log").read_bytes()
    assert schema.faults_of(line) == []
    assert b'"input_json":{"a":[1,{"password":"[REDACTED]"}]},"response_json":2.5' in line


def test_importing_prints_nothing_and_starts_nothing(tmp_path: Path) -> None:
    out, err = run(
        tmp_path,
        """
        import threading, sovdev_logger
        assert threading.active_count() == 1
        """,
    )
    assert (out, err) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_the_warning_lines_have_their_form(tmp_path: Path) -> None:
    _, err = run(tmp_path, program("log.sovdev_log('loud', 'f', 'm\\n[fake]', 'NO\\nBODY')"))
    for line in err.splitlines():
        assert re.match(r"\[sovdev-logger\] WARNING: .+; .+", line), line
