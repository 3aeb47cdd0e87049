"""Several processes of one service: their counters add up, and each counts from its own start."""

import time
from itertools import pairwise
from pathlib import Path

import pytest

from support.gunicorn import gunicorn
from support.otlp_receiver import OtlpReceiver, attributes
from support.processes import breaks_with, finish, program, run, run_file, start

OPERATIONS, ERRORS = "sovdev_operations_total", "sovdev_errors_total"
CUMULATIVE = (OPERATIONS, "sovdev_operation_duration", "sovdev_operations_active")


def total(receiver: OtlpReceiver) -> int:
    """Return the sum over all series that Prometheus would show."""
    return sum(values[-1] for values in receiver.series(OPERATIONS).values())


def resets(receiver: OtlpReceiver) -> int:
    """Return how often a series falls, which Prometheus takes for a restart."""
    series = [*receiver.series(OPERATIONS).values(), *receiver.series(ERRORS).values()]
    return sum(later < earlier for one in series for earlier, later in pairwise(one))


def instances(receiver: OtlpReceiver) -> set[str | None]:
    return {instance for _, instance, _ in receiver.series(OPERATIONS)}


@breaks_with(processes_share_an_instance="total(receiver) ==")
def test_replicas_add_up(tmp_path: Path) -> None:
    body = """
    for number in range(5):
        for _ in range(50):
            log.sovdev_log("info", "f", "m", None)
        log.sovdev_flush()
        print(number, flush=True)
        sys.stdin.readline()
    """
    with OtlpReceiver() as receiver:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "LOG_TO_FILE": "false"}
        replicas = [start(tmp_path, program(body), variables) for _ in range(4)]
        for _ in range(5):  # all export in turn, as they do with one interval
            for replica in replicas:
                assert replica.stdout is not None
                assert replica.stdin is not None
                assert replica.stdout.readline()
                replica.stdin.write("\n")
                replica.stdin.flush()
        for replica in replicas:
            finish(replica)
        assert total(receiver) == 4 * 250
        assert resets(receiver) == 0
        assert len(instances(receiver)) == 4


@breaks_with(processes_share_an_instance="resets(receiver) ==")
def test_idle_replicas_do_not_look_like_restarts(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        body = """
        for _ in range(int(os.environ["COUNT"])):
            log.sovdev_log("error", "f", "m", None)
        log.sovdev_flush()
        print("counted", flush=True)
        for _ in range(3):
            sys.stdin.readline()
            log.sovdev_flush()
            print("exported", flush=True)
        """
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "LOG_TO_FILE": "false"}
        replicas = [start(tmp_path, program(body), variables, COUNT=count) for count in "35"]
        for round_ in range(4):
            for replica in replicas:
                assert replica.stdout is not None
                assert replica.stdin is not None
                assert replica.stdout.readline()
                if round_ < 3:
                    replica.stdin.write("\n")
                    replica.stdin.flush()
        for replica in replicas:
            finish(replica)
        assert resets(receiver) == 0
        errors = receiver.series(ERRORS).values()
        assert sorted(values[-1] for values in errors) == [3, 5]


CHILDREN = """
import multiprocessing, os, sys
import sovdev_logger as log

def work(number):
    log.sovdev_initialize("orders")
    for _ in range(10):
        log.sovdev_log("info", "f", "child", None)
    log.sovdev_flush()

if __name__ == "__main__":
    log.sovdev_initialize("orders")
    for _ in range(7):
        log.sovdev_log("info", "f", "parent", None)
    log.sovdev_flush()
    context = multiprocessing.get_context(sys.argv[1])
    children = [context.Process(target=work, args=(number,)) for number in range(3)]
    for child in children: child.start()
    for child in children: child.join()
    print(os.getpid(), *(child.pid for child in children))
"""


def run_children(folder: Path, method: str, **variables: str) -> list[str]:
    """Run a parent that counts 7 and three children that count 10; return their process ids."""
    return run_file(folder, CHILDREN, method, **variables).split()


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@breaks_with(processes_share_an_instance="total(receiver) ==")
def test_each_child_is_an_instance_by_the_name_of_its_session(tmp_path: Path, method: str) -> None:
    with OtlpReceiver() as receiver:
        run_children(tmp_path, method, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert total(receiver) == 7 + 3 * 10
        assert resets(receiver) == 0
        sessions = {resource["session_id"] for resource, *_ in receiver.log_records()}
        assert instances(receiver) == sessions
        assert not any("service.instance.id" in one for one, *_ in receiver.log_records())


@pytest.mark.parametrize("method", ["fork", "spawn"])
@breaks_with(workers_share_the_given_instance="total(receiver) ==")
def test_each_child_of_an_instance_that_has_a_name_is_one_of_its_own(
    tmp_path: Path, method: str
) -> None:
    with OtlpReceiver() as receiver:
        _, *children = run_children(
            tmp_path,
            method,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_RESOURCE_ATTRIBUTES="service.instance.id=pod-7",
        )
        assert total(receiver) == 7 + 3 * 10
        assert instances(receiver) == {"pod-7", *(f"pod-7/{child}" for child in children)}
        logs = {resource["service.instance.id"] for resource, *_ in receiver.log_records()}
        assert logs == {"pod-7"}


@breaks_with(workers_share_the_given_instance="total(receiver) ==")
def test_workers_of_gunicorn_add_up_in_a_pod_with_a_name(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    with OtlpReceiver() as receiver:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=pod-7",
        }
        with gunicorn(tmp_path, "--workers", "4", **variables) as server:
            server.ask(40)
        assert total(receiver) == 4 + 40, receiver.series(OPERATIONS)
        assert all(str(instance).startswith("pod-7/") for instance in instances(receiver))


@breaks_with(points_start_when_the_sdk_says="max(starts) <= counted_from")
def test_a_counter_starts_before_what_it_counts(tmp_path: Path) -> None:
    body = """
    print(time.time_ns())
    for _ in range(2):
        with log.sovdev_start_span("work"):
            log.sovdev_log("info", "f", "m", None)
        log.sovdev_flush()
    """
    with OtlpReceiver() as receiver:
        before = time.time_ns()
        out, _ = run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        counted_from = int(out)
        starts = {
            point.start_time_unix_nano for name in CUMULATIVE for _, point in receiver.points(name)
        }
    assert before <= min(starts)
    assert max(starts) <= counted_from
    assert len(starts) == 1


@breaks_with(points_start_when_the_sdk_says="starts == {exported}")
def test_the_first_error_is_counted_from_the_export_before(tmp_path: Path) -> None:
    body = """
    log.sovdev_log("info", "f", "m", None)
    log.sovdev_flush()
    for _ in range(2):
        log.sovdev_log("error", "f", "m", None)
        log.sovdev_flush()
    """
    with OtlpReceiver() as receiver:
        run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        exported = receiver.points(OPERATIONS)[0][1].time_unix_nano
        starts = {point.start_time_unix_nano for _, point in receiver.points(ERRORS)}
    assert starts == {exported}


@breaks_with(
    points_start_when_the_sdk_says="start <= counted_from",
    children_count_since_their_parents_start="forked <= start",
)
def test_a_forked_childs_counters_start_with_the_child(tmp_path: Path) -> None:
    body = """
    log.sovdev_log("info", "f", "parent", None)
    log.sovdev_flush()
    forked = time.time_ns()
    child = os.fork()
    if child == 0:
        print(forked, time.time_ns(), flush=True)
        log.sovdev_log("warn", "f", "child", None)
        log.sovdev_flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    """
    with OtlpReceiver() as receiver:
        out, _ = run(tmp_path, program(body), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        forked, counted_from = map(int, out.split())
        (start,) = (
            point.start_time_unix_nano
            for _, point in receiver.points(OPERATIONS)
            if attributes(point.attributes)["log_level"] == "warn"
        )
    assert forked <= start <= counted_from


@breaks_with(points_start_when_the_sdk_says="first.start_time_unix_nano <= counted_from")
def test_delta_intervals_adjoin_from_the_start_on(tmp_path: Path) -> None:
    body = """
    print(time.time_ns())
    for _ in range(3):
        with log.sovdev_start_span("work"):
            log.sovdev_log("info", "f", "m", None)
        log.sovdev_flush()
    """
    with OtlpReceiver() as receiver:
        out, _ = run(
            tmp_path,
            program(body),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta",
        )
        counted_from = int(out)
        active = {p.start_time_unix_nano for _, p in receiver.points("sovdev_operations_active")}
        for name in (OPERATIONS, "sovdev_operation_duration"):
            first, *later = (point for _, point in receiver.points(name))
            assert first.start_time_unix_nano <= counted_from
            assert {first.start_time_unix_nano} == active  # never a delta
            for point in later:
                assert point.start_time_unix_nano == first.time_unix_nano
                first = point
