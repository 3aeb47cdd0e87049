"""Forks, multiprocessing and pre-fork servers: each child is a service of its own."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.gunicorn import gunicorn
from support.otlp_receiver import OtlpReceiver
from support.processes import (
    Hang,
    breaks_with,
    finish,
    program,
    run,
    run_file,
    same,
    start,
)
from support.service import environment, read_lines

WAIT_FOR_CHILDREN = """
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""


@breaks_with(fork_is_not_noticed=Hang("in end_flush"))
def test_forked_children_log_and_export_their_own(tmp_path: Path) -> None:
    body = """
    log.sovdev_log("info", "f", "parent before", None)
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            with log.sovdev_start_span("child"):
                log.sovdev_log("info", "f", f"child {number}", None)
            log.sovdev_flush()
            status = log.sovdev_status().outputs
            assert (status["file"].logged, status["otlp_logs"].delivered) == (1, 1), status
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    log.sovdev_log("info", "f", "parent after", None)
    """
    expected = ["child 0", "child 1", "child 2", "parent after", "parent before"]
    with OtlpReceiver() as receiver:
        run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert same(sorted(receiver.messages()), expected)
        assert len(receiver.spans()) == 3
        totals = [
            point.as_int
            for request in receiver.requests
            if request.path == "/v1/metrics"
            for resource in request.message.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "sovdev_operations_total"
            for point in metric.sum.data_points
        ]
        assert sorted(totals) == [1, 1, 1, 2]
    entries = read_lines(tmp_path / "dev.log")
    assert sorted(entry["message"] for entry in entries) == expected
    assert len({entry["event_id"] for entry in entries}) == 5
    assert len({entry["trace_id"] for entry in entries}) == 5


@breaks_with(session_is_inherited="len(set(written.values())) == 3")
def test_each_child_has_a_session_of_its_own_in_every_signal(tmp_path: Path) -> None:
    body = """
    def work(name):
        with log.sovdev_start_span(name):
            log.sovdev_log("info", "f", name, None)
        log.sovdev_flush()
    work("parent")
    child = os.fork()
    if child == 0:
        work("child")
        grandchild = os.fork()
        if grandchild == 0:
            work("grandchild")
            os._exit(0)
        os._exit(os.waitpid(grandchild, 0)[1])
    assert os.waitpid(child, 0)[1] == 0
    """
    with OtlpReceiver() as receiver:
        run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        logs = {r.body.string_value: res["session_id"] for res, _, _, r in receiver.log_records()}
        spans = {span.name: resource["session_id"] for resource, _, _, span in receiver.spans()}
        metrics = {
            attribute.value.string_value
            for request in receiver.requests
            if request.path == "/v1/metrics"
            for resource in request.message.resource_metrics
            for attribute in resource.resource.attributes
            if attribute.key == "session_id"
        }
    written = {one["message"]: one["session_id"] for one in read_lines(tmp_path / "dev.log")}
    assert written == logs == spans
    assert len(set(written.values())) == 3
    assert metrics == set(written.values())


def test_a_span_that_is_open_during_a_fork_is_the_parents(tmp_path: Path) -> None:
    body = """
    with log.sovdev_start_span("both see it") as span:
        child = os.fork()
        with log.sovdev_start_span("child's" if child == 0 else "parent's"):
            log.sovdev_log("info", "f", "child" if child == 0 else "parent", None)
    log.sovdev_flush()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    """
    with OtlpReceiver() as receiver:
        run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        names = sorted(span.name for *_, span in receiver.spans())
        assert names == ["both see it", "child's", "parent's"]
        assert len({span.trace_id for *_, span in receiver.spans()}) == 1
        active = [value for _, value in receiver.metrics()["sovdev_operations_active"]]
        assert min(active) >= 0


def test_the_threads_import_nothing(tmp_path: Path) -> None:
    # A module that a thread is importing while another one forks is never finished in the child.
    body = """
    before = set(sys.modules)
    log.sovdev_log("error", "f", "m", None, {"a": 1}, exception=ValueError("x"))
    with log.sovdev_start_span("work"):
        pass
    log.sovdev_flush()
    print(sorted(set(sys.modules) - before))
    """
    with OtlpReceiver() as receiver:
        for endpoint in (receiver.endpoint, "https://localhost:9"):
            out, _ = run(
                tmp_path,
                program(body),
                OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
                OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
            )
            assert out == "[]\n"


@pytest.fixture
def forks(sized: Callable[..., int]) -> int:
    return sized(50, full=200, soak=1000)


@breaks_with(fork_is_not_noticed="AssertionError: a child failed")
def test_forking_while_eight_threads_log(tmp_path: Path, forks: int) -> None:
    body = """
    import warnings
    warnings.simplefilter("ignore")
    stop = threading.Event()
    def work():
        while not stop.is_set():
            log.sovdev_log("info", "f", "thread", None)
            time.sleep(0.0002)
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads: thread.start()
    has_failed = False
    for number in range(int(os.environ["FORKS"])):
        child = os.fork()
        if child == 0:
            signal.alarm(5)
            log.sovdev_log("info", "f", f"child {number}", None)
            log.sovdev_flush()
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            has_failed = True
            break
    stop.set()
    for thread in threads: thread.join()
    assert not has_failed, "a child failed"
    """
    with OtlpReceiver() as receiver:
        run(
            tmp_path,
            program(body),
            timeout_seconds=600,
            FORKS=str(forks),
            LOG_FILE_MAX_BYTES="2000000",
            LOG_FILE_BACKUP_COUNT="500",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        )
        exported = receiver.event_ids()
        messages = receiver.messages()
    written = [entry for path in tmp_path.glob("dev.log*") for entry in read_lines(path)]
    for found in (messages, [entry["message"] for entry in written]):
        children = [message for message in found if message.startswith("child")]
        assert same(sorted(children), sorted(f"child {number}" for number in range(forks)))
    ids = {entry["event_id"] for entry in written}
    assert len(ids) == len(written)
    assert len(exported) == len(set(exported))
    assert same(sorted(exported), sorted(ids))


CHILDREN = """
import multiprocessing, os, sys
import sovdev_logger as log

def work(number):
    if sys.argv[1] != "fork":
        log.sovdev_initialize("orders")
    log.sovdev_log("info", "f", f"child {number}", None)
    with log.sovdev_start_span("work"):
        pass

if __name__ == "__main__":
    log.sovdev_initialize("orders")
    log.sovdev_log("info", "f", "parent", None)
    context = multiprocessing.get_context(sys.argv[1])
    if sys.argv[2] == "process":
        children = [context.Process(target=work, args=(number,)) for number in range(4)]
        for child in children: child.start()
        for child in children: child.join()
        assert [child.exitcode for child in children] == [0] * 4
    else:
        pool = context.Pool(2, maxtasksperchild=1)
        pool.map(work, range(4), chunksize=1)
        pool.close()
        pool.join()
"""


@pytest.mark.parametrize("kind", ["process", "pool"])
@pytest.mark.parametrize("method", ["fork", "forkserver"])
@breaks_with(children_do_not_flush="same(sorted(receiver.messages()), expected)")
def test_children_of_multiprocessing_deliver_at_their_end(
    tmp_path: Path, method: str, kind: str
) -> None:
    check_children(tmp_path, method, kind)


@pytest.mark.parametrize("kind", ["process", "pool"])
def test_spawned_children_deliver_at_their_end(tmp_path: Path, kind: str) -> None:
    check_children(tmp_path, "spawn", kind)


def check_children(folder: Path, method: str, kind: str) -> None:
    with OtlpReceiver() as receiver:
        run_file(folder, CHILDREN, method, kind, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        expected = ["child 0", "child 1", "child 2", "child 3", "parent"]
        assert same(sorted(receiver.messages()), expected)
        assert len(receiver.spans()) == 4
        assert len(set(receiver.event_ids())) == 5


def test_children_of_a_process_pool_executor(tmp_path: Path) -> None:
    body = """
    from concurrent.futures import ProcessPoolExecutor
    import multiprocessing
    def work(number):
        log.sovdev_log("info", "f", f"child {number}", None)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        list(pool.map(work, range(20)))
    """
    with OtlpReceiver() as receiver:
        run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert same(sorted(receiver.messages()), sorted(f"child {n}" for n in range(20)))


def test_a_child_that_waits_for_its_threads_delivers_what_they_log(tmp_path: Path) -> None:
    body = """
    import multiprocessing
    def work():
        def late():
            time.sleep(0.3)
            log.sovdev_log("info", "f", "late", None)
        threading.Thread(target=late).start()
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join()
    """
    with OtlpReceiver() as receiver:
        run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert same(receiver.messages(), ["late"])


@breaks_with(fork_is_not_noticed="same(sorted(receiver.messages())")
def test_a_child_that_ends_by_os_exit_after_a_flush(tmp_path: Path) -> None:
    body = """
    log.sovdev_log("info", "f", "parent", None)
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            for n in range(250):
                log.sovdev_log("info", "f", f"child {number}/{n}", None)
            log.sovdev_flush()
            os._exit(0)
        children.append(child)
    """
    with OtlpReceiver() as receiver:
        run(
            tmp_path,
            program(body + WAIT_FOR_CHILDREN.replace("\n", "\n    ")),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        )
        expected = [f"child {child}/{n}" for child in range(4) for n in range(250)]
        assert same(sorted(receiver.messages()), sorted([*expected, "parent"]))


@breaks_with(fork_is_not_noticed="same(sorted(receiver.messages())")
def test_the_parents_connection_and_spool_are_left_to_it(tmp_path: Path) -> None:
    body = """
    for number in range(10):
        log.sovdev_log("info", "f", f"parent {number}", None)
    log.sovdev_flush()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        log.sovdev_log("info", "f", "child", None)
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    log.sovdev_log("info", "f", "parent last", None)
    """
    run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    with OtlpReceiver() as receiver:
        run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        expected = ["child", "parent last", *(f"parent {number}" for number in range(10))]
        assert same(sorted(receiver.messages()), sorted(expected))


def test_a_child_of_a_service_that_was_shut_down_stays_shut_down(tmp_path: Path) -> None:
    body = """
    log.sovdev_shutdown()
    child = os.fork()
    if child == 0:
        log.sovdev_log("info", "f", "child", None)
        log.sovdev_flush()
        status = log.sovdev_status().outputs["otlp_logs"]
        assert dict(status.dropped_by_reason) == {"closed": 1}, status
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    """
    with OtlpReceiver() as receiver:
        run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert receiver.messages() == []


@breaks_with(
    fork_is_not_noticed="paths == ",
    processes_share_an_instance="values == sorted(values)",
)
def test_gunicorn_that_preloads_and_has_four_workers(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    requests = 100
    with OtlpReceiver() as receiver:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_METRIC_EXPORT_INTERVAL": "50",
        }
        with gunicorn(tmp_path, "--preload", "--workers", "4", **variables) as server:
            workers = server.ask(requests)
        paths = sorted(message for message in receiver.messages() if message.startswith("/"))
        assert paths == sorted(f"/{number}" for number in range(requests))
        assert receiver.messages().count("preloaded") == 1
        assert len(set(receiver.event_ids())) == len(receiver.event_ids())
        sessions = {resource["session_id"] for resource, *_ in receiver.log_records()}
        counters = receiver.series("sovdev_operations_total").values()
    assert all(values == sorted(values) for values in counters)
    assert sum(values[-1] for values in counters) == 1 + requests
    assert len(sessions) == 1 + len(workers)
    written = [entry["message"] for entry in read_lines(tmp_path / "dev.log")]
    assert sorted(one for one in written if one.startswith("/")) == paths


def test_a_worker_that_is_killed_leaves_its_spool_to_the_others(tmp_path: Path) -> None:
    body = """
    child = os.fork()
    if child == 0:
        log.sovdev_log("info", "f", "child", None)
        log.sovdev_flush()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    print("killed", flush=True)
    sys.stdin.readline()
    """
    process = start(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert process.stdout is not None
    assert process.stdout.readline() == "killed\n"
    with OtlpReceiver() as receiver:
        deadline = time.monotonic() + 20
        while not receiver.messages():
            assert time.monotonic() < deadline
            run(tmp_path, program(""), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert same(receiver.messages(), ["child"])
    finish(process, said="\n")


FIRST_IMPORT = """
import os
from sovdev_logger import sovdev_initialize
import threading
sovdev_initialize("orders")
is_inside, may_leave = threading.Event(), threading.Event()

def start_a_thread():
    with threading._active_limbo_lock:  # as for a moment in each start and end of a thread
        is_inside.set()
        may_leave.wait(30)

thread = threading.Thread(target=start_a_thread)
thread.start()
is_inside.wait(30)
child = os.fork()
if child == 0:
    os._exit(0)
may_leave.set()
thread.join()
assert os.waitpid(child, 0)[1] == 0
"""


def test_a_fork_beside_a_starting_thread_of_a_program_that_imports_us_first(
    tmp_path: Path,
) -> None:
    with OtlpReceiver() as receiver:
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FIRST_IMPORT],
            check=False,
            env=environment(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint),
            timeout=20,
            capture_output=True,
            text=True,
        )
    assert (done.returncode, done.stderr) == (0, "")
