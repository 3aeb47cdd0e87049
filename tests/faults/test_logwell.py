"""The Logwell output with many entries, and with a server that is killed, mute or away."""

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from support.logwell import KEY, FakeLogwell
from support.processes import breaks_with, finish, program, run, same, start
from support.service import read_lines


def settings(url: str, **more: str) -> dict[str, str]:
    return {"LOGWELL_ENDPOINT": url, "LOGWELL_API_KEY": KEY, **more}


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
    found = log.sovdev_status().outputs["logwell"]
    assert (found.logged, found.delivered, found.repeated) == ({4 * each}, {4 * each}, 0), found
    """
    with FakeLogwell() as server:
        run(tmp_path, program(body), settings(server.url), LOG_TO_FILE="false")
        for name in "abcd":
            own = [r["message"] for r in server.stored if r["metadata"]["function_name"] == name]
            assert same(own, [str(number) for number in range(each)])
        assert len(server.stored) == 4 * each
        assert len(set(server.event_ids())) == 4 * each
        assert server.most_in_flight == 1


def test_a_server_that_is_killed_and_comes_back_gets_everything(tmp_path: Path) -> None:
    body = """
    for number in range(20000):
        log.sovdev_log("info", "f", f"{number}", None)
        if number % 20 == 0:
            time.sleep(0.005)
    print("logged", flush=True)
    sys.stdin.readline()
    log.sovdev_flush()
    log.sovdev_flush()
    print(log.sovdev_status().outputs["logwell"].repeated)
    """
    chance = random.Random(7)
    server = FakeLogwell()
    server.__enter__()
    port, stored = server.port, []
    process = start(tmp_path, program(body), settings(server.url, LOGWELL_FLUSH_INTERVAL="0.05"))
    for _ in range(20):
        time.sleep(chance.uniform(0.05, 0.3))
        server.stop()
        stored += server.stored
        assert server.faults == []
        time.sleep(chance.uniform(0, 0.05))
        server = FakeLogwell(port)
        server.__enter__()
    assert process.stdout is not None
    assert process.stdout.readline() == "logged\n"
    out, _ = finish(process, said="go on\n")
    server.stop()
    stored += server.stored
    found = Counter(record["metadata"]["event_id"] for record in stored)
    expected = ids_in_file(tmp_path)
    assert len(expected) == 20_000
    assert set(found) == set(expected)
    twice = sum(count - 1 for count in found.values())
    assert twice <= int(out), "each that is there twice was counted"


@pytest.mark.parametrize(
    "trouble",
    [
        "mute",
        "away",
        pytest.param("503", marks=pytest.mark.sized(least="full")),
        pytest.param("401", marks=pytest.mark.sized(least="full")),
    ],
)
def test_the_rest_is_on_disk_and_arrives_in_the_next_run(tmp_path: Path, trouble: str) -> None:
    body = """
    began = time.monotonic()
    for number in range(3000):
        log.sovdev_log("info", "f", f"{number}", None)
    """
    server = FakeLogwell()
    server.__enter__()
    if trouble == "mute":
        server.be_mute()
    elif trouble != "away":
        server.answer(int(trouble), b"{}")
    else:
        server.stop()
    began = time.monotonic()
    _, err = run(tmp_path, program(body), settings(server.url, SOVDEV_EXIT_TIMEOUT_SECONDS="2"))
    assert time.monotonic() - began < 10
    assert "they are kept in" in err
    port = server.port
    if trouble != "away":
        server.stop()
    with FakeLogwell(port) as again:
        run(tmp_path, program("log.sovdev_flush()"), settings(again.url))
        assert same(sorted(again.event_ids()), sorted(ids_in_file(tmp_path)))
        assert same(again.messages, [str(number) for number in range(3000)])
