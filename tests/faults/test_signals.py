"""Signals: handlers of the program, ours, and timers that log in the middle of everything."""

import signal
import time
from pathlib import Path

import pytest

from support.otlp_receiver import OtlpReceiver
from support.processes import Hang, breaks_with, finish, program, run, same, start
from support.service import read_lines

INSTALL = "log.sovdev_install_signal_handlers()\n"


def messages(path: Path) -> list[str]:
    return [entry["message"] for entry in read_lines(path)]


@breaks_with(
    reentry_is_refused="found.count(",
    reentry_deadlocks=Hang("in submit"),
    file_loses_5_percent="found.count(",
)
def test_a_timer_that_logs_every_2_ms(tmp_path: Path) -> None:
    body = """
    fired = 0
    def handler(number, frame):
        global fired
        fired += 1
        log.sovdev_log("info", "signal", "signal", None, {"n": fired})
        if fired % 100 == 0:
            log.sovdev_flush()
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    number = 0
    while number < 20_000 or (fired < 300 and number < 200_000):
        log.sovdev_log("info", "main", "main", None, {"n": number})
        number += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    log.sovdev_flush()
    print(number, fired)
    """
    with OtlpReceiver() as receiver:
        out, err = run(
            tmp_path,
            program(body),
            timeout_seconds=40,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            LOG_FILE_MAX_BYTES="500000",
            LOG_FILE_BACKUP_COUNT="1000",
        )
        delivered = receiver.messages()
    assert err == ""
    main, fired = map(int, out.split())
    files = list(tmp_path.glob("dev.log*"))
    written = [message for path in files for message in messages(path)]
    assert len(files) > 5
    for found in (written, delivered):
        assert (found.count("main"), found.count("signal")) == (main, fired)
    assert fired >= 300


@breaks_with(reentry_deadlocks=Hang("in submit"))
def test_a_signal_in_the_middle_of_a_flush(tmp_path: Path) -> None:
    body = """
    handled = 0
    def handler(number, frame):
        global handled
        log.sovdev_log("info", "signal", "signal", None)
        log.sovdev_flush()
        handled += 1
    signal.signal(signal.SIGALRM, handler)
    for number in range(200):
        log.sovdev_log("info", "main", "main", None)
        signal.setitimer(signal.ITIMER_REAL, 0.0001 + number % 20 * 0.0002)
        while handled == number:
            log.sovdev_log("info", "main", "more", None)
            log.sovdev_flush()
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(handled)
    """
    with OtlpReceiver() as receiver:
        out, err = run(
            tmp_path,
            program(body),
            timeout_seconds=60,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        )
        delivered = receiver.messages()
    assert (out, err) == ("200\n", "")
    for found in (messages(tmp_path / "dev.log"), delivered):
        assert (found.count("main"), found.count("signal")) == (200, 200)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, -signal.SIGINT)]
)
@breaks_with(
    handler_does_not_flush="delivered in (written",
    handler_swallows_the_signal=Hang("in <module>"),
)
def test_our_handlers_deliver_and_the_program_ends_as_it_would_have(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    body = f"""
    {INSTALL}
    import atexit
    if {int(number)} == signal.SIGINT:
        # Otherwise the exit hook would deliver what the handler did not.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        {INSTALL}
    log.sovdev_log("info", "f", "ready", None)
    print("ready", flush=True)
    n = 0
    while True:
        log.sovdev_log("info", "f", f"number {{n}}", None)
        n += 1
    """
    for attempt in range(5):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        with OtlpReceiver() as receiver:
            process = start(
                folder,
                program(body),
                OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
                LOG_FILE_MAX_BYTES="5000",  # so that the signal finds it rotating, too
                LOG_FILE_BACKUP_COUNT="1000",
            )
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.01 * attempt)  # another moment each time
            process.send_signal(number)
            finish(process, timeout_seconds=20)
            assert process.returncode == code
            delivered = receiver.event_ids()
        files = sorted(
            folder.glob("dev.log*"), key=lambda path: int(path.suffix[1:].strip("log") or 0)
        )
        written = [entry["event_id"] for path in reversed(files) for entry in read_lines(path)]
        # The call that the signal interrupted has not returned: it may be in the file only. The
        # first entry's has.
        assert delivered in (written, written[:-1] or written)


@breaks_with(
    handler_does_not_flush="same(receiver.messages()",
    flush_ignores_its_deadline="in end_flush",
)
def test_our_handler_in_the_middle_of_a_flush_that_hangs(tmp_path: Path) -> None:
    body = f"""
    {INSTALL}
    for number in range(100):
        log.sovdev_log("info", "f", f"number {{number}}", None)
    print("flushing", flush=True)
    log.sovdev_flush()
    """
    with OtlpReceiver() as receiver:
        receiver.hang()
        process = start(
            tmp_path,
            program(body),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            SOVDEV_EXIT_TIMEOUT_SECONDS="1",
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.2)  # into the flush
        process.terminate()
        finish(process, timeout_seconds=5)
        assert process.returncode == -signal.SIGTERM
    with OtlpReceiver() as receiver:
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert same(receiver.messages(), [f"number {number}" for number in range(100)])


@breaks_with(handler_does_not_flush="not delivered: 100 log entries")
def test_what_cannot_be_delivered_is_on_disk_before_the_signal_kills(tmp_path: Path) -> None:
    body = f"""
    {INSTALL}
    for number in range(100):
        log.sovdev_log("info", "f", f"number {{number}}", None)
    os.kill(os.getpid(), signal.SIGTERM)
    """
    _, err = run(tmp_path, program(body), code=-signal.SIGTERM, OTEL_EXPORTER_OTLP_ENDPOINT=REFUSED)
    assert "not delivered: 100 log entries" in err
    with OtlpReceiver() as receiver:
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert same(receiver.messages(), [f"number {number}" for number in range(100)])


REFUSED = "http://127.0.0.1:9"


@breaks_with(handler_does_not_flush="[(15, 0), (15, 0)]")
def test_an_earlier_handler_is_called_after_the_delivery(tmp_path: Path) -> None:
    body = f"""
    calls = []
    def earlier(number, frame):
        calls.append((number, log.sovdev_status().outputs["otlp_logs"].queued))
    signal.signal(signal.SIGTERM, earlier)
    {INSTALL}
    {INSTALL}
    log.sovdev_log("info", "f", "hello", None)
    os.kill(os.getpid(), signal.SIGTERM)
    log.sovdev_log("info", "f", "still here", None)
    os.kill(os.getpid(), signal.SIGTERM)
    print(calls, len(calls))
    """
    with OtlpReceiver() as receiver:
        out, _ = run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert out == "[(15, 0), (15, 0)] 2\n"
        assert same(receiver.messages(), ["hello", "still here"])


def test_keyboard_interrupt_is_raised_where_it_would_have_been(tmp_path: Path) -> None:
    body = f"""
    {INSTALL}
    try:
        log.sovdev_log("info", "f", "hello", None)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)
    except KeyboardInterrupt:
        print("interrupted", log.sovdev_status().outputs["otlp_logs"].delivered)
    """
    with OtlpReceiver() as receiver:
        out, _ = run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    assert out == "interrupted 1\n"


def test_an_ignored_signal_stays_ignored(tmp_path: Path) -> None:
    body = f"""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    {INSTALL}
    os.kill(os.getpid(), signal.SIGTERM)
    print("alive")
    """
    assert run(tmp_path, program(body))[0] == "alive\n"


@pytest.mark.parametrize("behaviour", ["hang", "drip"])
@breaks_with(spool_is_not_written="same(receiver.messages()")
def test_twice_against_a_server_that_hangs(tmp_path: Path, behaviour: str) -> None:
    body = f"""
    {INSTALL}
    for number in range(100):
        log.sovdev_log("info", "f", f"number {{number}}", None)
    def again():
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)
    threading.Thread(target=again, daemon=True).start()
    os.kill(os.getpid(), signal.SIGTERM)
    """
    with OtlpReceiver() as receiver:
        getattr(receiver, behaviour)()
        run(
            tmp_path,
            program(body),
            code=-signal.SIGTERM,
            timeout_seconds=10,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            SOVDEV_EXIT_TIMEOUT_SECONDS="20",
        )
    with OtlpReceiver() as receiver:
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert same(receiver.messages(), [f"number {number}" for number in range(100)])


def test_in_an_asyncio_program(tmp_path: Path) -> None:
    body = f"""
    import asyncio
    {INSTALL}
    async def main():
        try:
            for number in range(1_000_000):
                log.sovdev_log("info", "f", f"number {{number}}", None)
                if number == 200:
                    os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(0)
        finally:
            log.sovdev_log("info", "f", "cleaned up", None)
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("interrupted")
    """
    with OtlpReceiver() as receiver:
        out, err = run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert (out, err) == ("interrupted\n", "")
        assert receiver.messages()[-1] == "cleaned up"


def test_a_handler_of_the_event_loop_is_still_called(tmp_path: Path) -> None:
    body = f"""
    import asyncio
    async def main():
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        {INSTALL}
        log.sovdev_log("info", "f", "hello", None)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(stop.wait(), 10)
        print("stopped", log.sovdev_status().outputs["otlp_logs"].delivered)
    asyncio.run(main())
    """
    with OtlpReceiver() as receiver:
        out, _ = run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    assert out == "stopped 1\n"


def test_a_handler_of_the_program_that_logs_and_shuts_down(tmp_path: Path) -> None:
    body = """
    def stop(number, frame):
        log.sovdev_log("warn", "stop", "stopping", None)
        log.sovdev_shutdown()
        os._exit(7)
    signal.signal(signal.SIGTERM, stop)
    print("ready", flush=True)
    while True:
        log.sovdev_log("info", "f", "working", None)
    """
    with OtlpReceiver() as receiver:
        process = start(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 7
        assert receiver.messages()[-1] == "stopping"
    assert messages(tmp_path / "dev.log").count("stopping") == 1
