"""The relay output with many entries, forks, and receivers that are killed, mute or away."""

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from support.processes import breaks_with, finish, program, run, same, start
from support.relay import FakeRelay
from support.service import read_lines


def ids_in_file(folder: Path) -> list[str]:
    return [entry["event_id"] for entry in read_lines(folder / "dev.log")]


@breaks_with(sender_loses_5_percent="AssertionError: OutputStatus(")
def test_all_arrive_once_and_in_order(tmp_path: Path, sized: Callable[..., int]) -> None:
    each = sized(5000, full=12_500)
    body = f"""
    def talk(name):
        for number in range({each}):
            log.sovdev_log("info", name, f"{{number}}", None)
    threads = [threading.Thread(target=talk, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.sovdev_flush()
    log.sovdev_flush()
    found = log.sovdev_status().outputs["relay"]
    assert (found.logged, found.delivered, found.repeated) == ({4 * each}, {4 * each}, 0), found
    """
    with FakeRelay() as relay:
        run(
            tmp_path,
            program(body),
            LOG_TO_FILE="false",
            RELAY_TARGETS=relay.target,
            RELAY_QUEUE_SIZE="60000",
        )
        for name in "abcd":
            own = [entry["msg"] for entry in relay.entries if entry["caller"] == name]
            assert same(own, [str(number) for number in range(each)])
        assert len(relay.ids) == len(set(relay.ids)) == 4 * each


def test_a_receiver_that_is_killed_and_comes_back_gets_everything(tmp_path: Path) -> None:
    body = """
    for number in range(20000):
        log.sovdev_log("info", "f", f"{number}", None)
        if number % 20 == 0:
            time.sleep(0.005)
    print("logged", flush=True)
    sys.stdin.readline()
    deadline = time.monotonic() + 60
    while True:
        log.sovdev_flush()
        found = log.sovdev_status().outputs["relay"]
        if found.delivered + found.dropped == found.logged or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    print(found.repeated, found.dropped)
    """
    chance = random.Random(7)
    relay = FakeRelay()
    relay.__enter__()
    port = relay.port
    ids: list[str] = []
    process = start(tmp_path, program(body), RELAY_TARGETS=relay.target)
    for _ in range(20):
        time.sleep(chance.uniform(0.05, 0.3))
        relay.stop()
        ids += relay.ids
        assert relay.faults == []
        relay = FakeRelay(port)
        relay.__enter__()
    assert process.stdout is not None
    assert process.stdout.readline() == "logged\n"
    out, _ = finish(process, said="go on\n")
    relay.stop()
    ids += relay.ids
    found = Counter(ids)
    expected = ids_in_file(tmp_path)
    repeated, dropped = map(int, out.split())
    assert dropped == 0
    assert len(expected) == 20_000
    assert set(found) == set(expected)
    twice = sum(count - 1 for count in found.values())
    assert twice <= repeated, "each that is there twice was counted"


@pytest.mark.parametrize(
    "trouble",
    [
        "mute",
        "turns away",
        pytest.param("away", marks=pytest.mark.sized(least="full")),
        pytest.param("ends", marks=pytest.mark.sized(least="full")),
    ],
)
def test_the_rest_is_on_disk_and_arrives_in_the_next_run(tmp_path: Path, trouble: str) -> None:
    body = """
    for number in range(3000):
        log.sovdev_log("info", "f", f"{number}", None)
    """
    relay = FakeRelay()
    relay.__enter__()
    port = relay.port
    if trouble == "mute":
        relay.is_mute = True
    elif trouble == "turns away":
        relay.refuses = (grpc.StatusCode.UNAUTHENTICATED, "who are you")
    elif trouble == "ends":
        relay.ends_after = 1
    else:
        relay.stop()
    began = time.monotonic()
    _, err = run(
        tmp_path, program(body), RELAY_TARGETS=relay.target, SOVDEV_EXIT_TIMEOUT_SECONDS="2"
    )
    assert time.monotonic() - began < 10
    assert "they are kept in" in err
    if trouble != "away":
        relay.stop()
    with FakeRelay(port) as again:
        run(tmp_path, program("log.sovdev_flush()"), RELAY_TARGETS=again.target)
        expected = ids_in_file(tmp_path)
        assert set(again.ids) | set(relay.ids) == set(expected)
        assert same(sorted(again.ids), sorted(set(again.ids)))


@pytest.mark.timeout(240)
@breaks_with(child_keeps_the_parents_connection="len(relay.messages) ==")
def test_children_of_a_process_with_an_open_stream_send_for_themselves(tmp_path: Path) -> None:
    body = """
    for turn in range(10):
        for number in range(10):
            log.sovdev_log("info", "f", f"parent {turn} {number}", None)
        log.sovdev_flush()
        children = []
        for name in range(5):
            child = os.fork()
            if child == 0:
                signal.alarm(30)
                for number in range(20):
                    log.sovdev_log("info", "f", f"child {turn} {name} {number}", None)
                log.sovdev_flush()
                found = log.sovdev_status().outputs["relay"]
                os._exit(0 if (found.delivered, found.spooled) == (20, 0) else 1)
            children.append(child)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
    """
    with FakeRelay() as relay:
        run(tmp_path, program(body), RELAY_TARGETS=relay.target)
        expected = {f"parent {turn} {number}" for turn in range(10) for number in range(10)}
        expected |= {
            f"child {turn} {name} {number}"
            for turn in range(10)
            for name in range(5)
            for number in range(20)
        }
        assert len(relay.messages) == len(expected)
        assert set(relay.messages) == expected
