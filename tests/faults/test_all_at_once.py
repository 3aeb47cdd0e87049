"""Threads, timers, forks, rotations, kills and collectors that come and go, together."""

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support.otlp_receiver import OtlpReceiver
from support.processes import breaks_with, finish, program, run, same, start
from support.service import read_lines, strict_json

ROTATED = {"LOG_FILE_MAX_BYTES": "300000", "LOG_FILE_BACKUP_COUNT": "10000"}


@contextmanager
def coming_and_going(receiver: OtlpReceiver) -> Iterator[None]:
    """Let a collector refuse for a while, and take for a while; at the end it takes."""
    is_over = threading.Event()

    def flap() -> None:
        while not is_over.wait(0.3):
            receiver.respond_with(503)
            is_over.wait(0.2)
            receiver.recover()

    thread = threading.Thread(target=flap)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        receiver.recover()


def ids_in_files(folder: Path) -> list[str]:
    entries = [entry for path in folder.glob("dev.log*") for entry in read_lines(path)]
    return [entry["event_id"] for entry in entries]


@breaks_with(
    sender_loses_5_percent="same(sorted(received)",
    reentry_is_refused="same(sorted(received)",
    spool_sends_twice="same(sorted(received)",
)
def test_threads_timers_and_forks_beside_a_flapping_collector(
    tmp_path: Path, sized: Callable[..., float]
) -> None:
    body = """
    import warnings
    warnings.simplefilter("ignore")
    stop = time.monotonic() + float(os.environ["SECONDS"])
    def work(name):
        while time.monotonic() < stop:
            log.sovdev_log("info", "f", name, None)
            time.sleep(0.05)
    signal.signal(signal.SIGALRM, lambda *_: log.sovdev_log("info", "f", "timer", None))
    threads = [threading.Thread(target=work, args=(f"thread {n}",)) for n in range(64)]
    for thread in threads: thread.start()
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.003)
    failed = 0
    while time.monotonic() < stop:
        child = os.fork()
        if child == 0:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(30)
            log.sovdev_log("info", "f", "child", None)
            log.sovdev_shutdown()
            os._exit(0)
        failed += os.waitpid(child, 0)[1] != 0
        for _ in range(20): log.sovdev_log("info", "f", "main", None)
    signal.setitimer(signal.ITIMER_REAL, 0)
    for thread in threads: thread.join()
    assert not failed, "a child failed"
    """
    seconds = sized(2, full=20, soak=60)
    with OtlpReceiver() as receiver:
        with coming_and_going(receiver):
            run(
                tmp_path,
                program(body),
                ROTATED,
                timeout_seconds=seconds + 60,
                SECONDS=str(seconds),
                OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            )
        # What a child or the end left behind.
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        received = receiver.event_ids()
        messages = set(receiver.messages())
    assert {"timer", "child", "main", *(f"thread {n}" for n in range(64))} <= messages
    assert same(sorted(received), sorted(ids_in_files(tmp_path)))


@breaks_with(
    file_loses_5_percent="len(written) ==",
    sender_loses_5_percent="same(sorted(received)",
)
def test_eight_services_share_a_file_and_a_spool(tmp_path: Path, sized: Callable[..., int]) -> None:
    body = """
    for number in range(int(os.environ["COUNT"])):
        log.sovdev_log("info", "f", f"{os.getpid()}/{number}", None)
        if number % 500 == 499: log.sovdev_flush()
    """
    count = sized(500, full=5000, soak=50_000)
    with OtlpReceiver() as receiver:
        with coming_and_going(receiver):
            processes = [
                start(
                    tmp_path,
                    program(body),
                    ROTATED,
                    COUNT=str(count),
                    OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
                )
                for _ in range(8)
            ]
            for process in processes:
                finish(process, 300)
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        received = receiver.event_ids()
    assert [process.returncode for process in processes] == [0] * 8
    written = ids_in_files(tmp_path)
    assert len(written) == len(set(written)) == 8 * count
    assert same(sorted(received), sorted(written))


@breaks_with(file_is_buffered="same(messages[:acknowledged]")
def test_kills_around_rotations(tmp_path: Path, sized: Callable[..., int]) -> None:
    body = """
    for number in range(10_000_000):
        log.sovdev_log("info", "f", f"number {number}", None)
        os.write(1, f"{number}\\n".encode())
    """
    seed = random.randrange(10**6)
    print("seed", seed)
    moments = random.Random(seed)
    for attempt in range(sized(3, full=50, soak=200)):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        process = start(
            folder,
            program(body),
            LOG_FILE_MAX_BYTES="50000",
            LOG_FILE_BACKUP_COUNT="10000",
        )
        assert process.stdout is not None
        said, after = b"", moments.randint(100, 700)
        while said.count(b"\n") < after:
            more = os.read(process.stdout.fileno(), 4096)
            assert more, "the process ended by itself"
            said += more
        process.send_signal(signal.SIGKILL)
        while rest := os.read(process.stdout.fileno(), 65536):
            said += rest
        finish(process)
        acknowledged = int(said.split(b"\n")[-2]) + 1
        messages = []
        for path in sorted(folder.glob("dev.log*"), key=age, reverse=True):
            # The system may cut off the very last write, of a call that had not returned.
            *whole, _torn = path.read_bytes().split(b"\n")
            messages += [strict_json(line.decode())["message"] for line in whole]
        assert same(messages[:acknowledged], [f"number {n}" for n in range(acknowledged)])


def age(path: Path) -> int:
    """Return the number that rotation gave to a file; it rises with the age."""
    return int(path.suffix[1:]) if path.suffix[1:].isdigit() else 0
