"""Sampling when processes fork and end, and when LipService is down, mute or talks rubbish."""

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from sovdev_logger._sampling.signature import signature_of
from support.lipservice import FakeLipService
from support.processes import Hang, breaks_with, finish, program, run, start
from support.service import read_lines


def settings(server: FakeLipService | str, **more: str) -> dict[str, str]:
    return {
        "SOVDEV_SAMPLING": "lipservice",
        "SOVDEV_SAMPLING_FALLBACK_RATE": "0.5",
        "LIPSERVICE_URL": server if isinstance(server, str) else server.url,
        "LIPSERVICE_TEAM_ID": "7",
        **more,
    }


@breaks_with(
    sampling_keeps_the_parents_counts="server.total() ==",
    lipservice_is_not_started_in_a_child="server.total() ==",
    lipservice_has_no_last_words="server.total() ==",
)
def test_the_totals_of_threads_and_forks_are_what_was_logged(tmp_path: Path) -> None:
    body = """
    def talk(name, count):
        for number in range(count):
            log.sovdev_log("info", "f", f"{name} did {number}", None)

    def in_threads(name, count):
        threads = [threading.Thread(target=talk, args=(name, count)) for _ in range(4)]
        for thread in threads:
            thread.start()
        return threads

    threads = in_threads("parent", 500)
    children = []
    for number in range(5):
        child = os.fork()
        if child == 0:
            for thread in in_threads("child", 200):
                thread.join()
            sys.exit(0)
        children.append(child)
    for thread in threads:
        thread.join()
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    """
    with FakeLipService() as server:
        run(tmp_path, program(body), settings(server, LIPSERVICE_PATTERN_REPORT_INTERVAL="0.05"))
        counts = server.counts()
        assert server.total() == 4 * 500 + 5 * 4 * 200
        assert counts[signature_of("parent did 1")][0] == 4 * 500
        assert counts[signature_of("child did 1")][0] == 5 * 4 * 200
        assert all(0 < kept < seen for seen, kept in counts.values())


@breaks_with(lipservice_has_no_last_words="server.total() == 150")
def test_forked_children_of_multiprocessing_report_too(tmp_path: Path) -> None:
    assert_children_report(tmp_path, "fork")


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_spawned_children_of_multiprocessing_report_too(tmp_path: Path, method: str) -> None:
    assert_children_report(tmp_path, method)


def assert_children_report(tmp_path: Path, method: str) -> None:
    (tmp_path / "work.py").write_text(
        "import sovdev_logger as log\n"
        "def work(count):\n"
        "    log.sovdev_initialize('orders')\n"
        "    for number in range(count):\n"
        "        log.sovdev_log('info', 'f', f'child did {number}', None)\n"
    )
    body = f"""
    import multiprocessing, sys
    sys.path.insert(0, {str(tmp_path)!r})
    import work
    if __name__ == "__main__":
        context = multiprocessing.get_context({method!r})
        children = [context.Process(target=work.work, args=(50,)) for _ in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join()
            assert child.exitcode == 0
    """
    with FakeLipService() as server:
        run(tmp_path, program(body), settings(server))
        assert server.total() == 150


@breaks_with(the_pattern_table_has_a_lock="AssertionError: a child failed")
def test_no_child_hangs_that_was_forked_while_threads_log(tmp_path: Path) -> None:
    body = """
    sys.setswitchinterval(1e-4)
    stop = threading.Event()

    def talk(name):
        number = 0
        while not stop.is_set():
            number += 1
            words = chr(97 + number % 26) + number * 7919 % 97 * "y"
            log.sovdev_log("info", "f", f"{name} {words}", None)

    threads = [threading.Thread(target=talk, args=(f"thread {name}",)) for name in "abcd"]
    for thread in threads:
        thread.start()
    has_failed = False
    for number in range(100):
        child = os.fork()
        if child == 0:
            signal.alarm(5)
            for letter in "abcdefghij":
                log.sovdev_log("info", "f", f"child {letter}", None)
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            has_failed = True
            break
    stop.set()
    for thread in threads:
        thread.join()
    assert not has_failed, 'a child failed'
    """
    run(
        tmp_path,
        program(body),
        LOG_TO_FILE="false",
        SOVDEV_SAMPLING="local",
        SOVDEV_SAMPLING_MAX_PATTERNS="100",
    )


LOG_A_THOUSAND = """
for number in range(1000):
    log.sovdev_log("info", "f", f"did {number}", None)
"""

TROUBLES: dict[str, Callable[[FakeLipService], None]] = {
    "mute": FakeLipService.be_mute,
    "error 500": lambda server: server.answer(500, b"Internal Server Error"),
    "unauthorised": lambda server: server.answer(401, b"{}"),
    "rubbish": lambda server: server.answer(200, b"\x00\xff rubbish"),
    "not a policy": lambda server: server.answer(202, b'{"status": "accepted"}'),
}


@breaks_with(lipservice_runs_in_the_callers_thread=Hang("in <lambda>"))
def test_a_mute_server_changes_nothing_for_the_caller(tmp_path: Path) -> None:
    assert_nothing_changes(tmp_path, "mute")


@pytest.mark.parametrize(
    "trouble", ["error 500", "unauthorised", "rubbish", "not a policy", "down"]
)
def test_a_server_in_trouble_changes_nothing_for_the_caller(tmp_path: Path, trouble: str) -> None:
    assert_nothing_changes(tmp_path, trouble)


def assert_nothing_changes(tmp_path: Path, trouble: str) -> None:
    with FakeLipService() as server:
        if trouble in TROUBLES:
            TROUBLES[trouble](server)
        url = "http://127.0.0.1:9" if trouble == "down" else server.url
        variables = settings(
            url,
            LIPSERVICE_POLICY_REFRESH_INTERVAL="0.1",
            LIPSERVICE_PATTERN_REPORT_INTERVAL="0.1",
            SOVDEV_EXIT_TIMEOUT_SECONDS="1",
        )
        pause = "time.sleep(0.5)\n" if trouble != "mute" else ""
        in_time = "assert time.monotonic() - began < 5\n"
        _, err = run(
            tmp_path,
            "import time; began = time.monotonic()\n" + program(LOG_A_THOUSAND + pause + in_time),
            variables,
            timeout_seconds=15,
        )
    assert len(read_lines(tmp_path / "dev.log")) == 1000
    assert len(re.findall("LipService", err)) <= 1
    if trouble != "mute":
        assert "the last policy stays in use" in err


@breaks_with(lipservice_forgets_what_nobody_got="server.total() == 2000")
def test_a_server_that_comes_back_gets_every_count(tmp_path: Path) -> None:
    body = LOG_A_THOUSAND + "print('logged', flush=True)\nsys.stdin.readline()\n" + LOG_A_THOUSAND
    with FakeLipService() as server:
        server.answer(503)
        process = start(
            tmp_path,
            program(body),
            settings(server, LIPSERVICE_PATTERN_REPORT_INTERVAL="0.05"),
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "logged\n"
        server.wait_for(lambda s: bool(s.requests("POST")))
        server.recover()
        finish(process, said="go on\n")
        assert server.total() == 2000
        assert server.counts()[signature_of("did 1")][0] == 2000


@breaks_with(lipservice_sends_what_was_taken_again="server.total() == 1000")
def test_a_reply_that_is_lost_counts_nothing_twice(tmp_path: Path) -> None:
    body = LOG_A_THOUSAND + "print('logged', flush=True)\nsys.stdin.readline()\n"
    with FakeLipService() as server:
        server.set_policy("orders")
        process = start(
            tmp_path,
            program(body),
            settings(
                server,
                LIPSERVICE_PATTERN_REPORT_INTERVAL="0.05",
                LIPSERVICE_POLICY_REFRESH_INTERVAL="100",
            ),
        )
        assert process.stdout is not None
        server.wait_for(lambda s: bool(s.requests("GET")))
        server.answer(500, times=1, after_taking=True)
        assert process.stdout.readline() == "logged\n"
        server.wait_for(lambda s: bool(s.requests("POST")))
        finish(process, said="end\n")
        assert server.total() == 1000


@breaks_with(lipservice_has_no_last_words="server.total() == 1000")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sends_the_last_report(tmp_path: Path, number: signal.Signals) -> None:
    body = (
        "log.sovdev_install_signal_handlers()\n"
        + LOG_A_THOUSAND
        + "print('logged', flush=True)\ntime.sleep(60)\n"
    )
    with FakeLipService() as server:
        process = start(tmp_path, program(body), settings(server))
        assert process.stdout is not None
        assert process.stdout.readline() == "logged\n"
        process.send_signal(number)
        finish(process)
        assert server.total() == 1000
