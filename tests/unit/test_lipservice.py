"""The LipService client against a server that is as strict as the real one."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sovdev_logger._delivery.http_transport import HttpResult
from sovdev_logger._entry.levels import ERROR, INFO
from sovdev_logger._sampling.lipservice_client import (
    LipServiceClient,
    fetch_policy,
    surely_not_accepted,
)
from sovdev_logger._sampling.policy import PolicyError, uniform_policy
from sovdev_logger._sampling.sampler import Sampler
from sovdev_logger._sampling.signature import digest, signature_of
from sovdev_logger._settings.sampling import LipServiceSettings
from support.lipservice import FakeLipService

Start = Callable[..., LipServiceClient]


@pytest.fixture
def server() -> Iterator[FakeLipService]:
    with FakeLipService() as found:
        yield found


@pytest.fixture
def sampler() -> Sampler:
    return Sampler(uniform_policy(1.0))


@pytest.fixture
def start(server: FakeLipService, sampler: Sampler) -> Iterator[Start]:
    started: list[LipServiceClient] = []

    def start_it(
        name: str = "orders", *, midpoint: bool = True, **settings: Any
    ) -> LipServiceClient:
        found = LipServiceSettings(**{"url": server.url, "team_id": 7, **settings})
        client = LipServiceClient(found, name, sampler, lambda low, high: (low + high) / 2)
        started.append(client)
        client.start()
        return client

    yield start_it
    server.recover()
    for client in started:
        client.close(5)


def log(sampler: Sampler, count: int, message: str = "User 1 logged in") -> None:
    for _ in range(count):
        sampler.decide(INFO, message)


def test_the_policy_is_fetched_at_the_start(
    server: FakeLipService, sampler: Sampler, start: Start
) -> None:
    server.set_policy("orders", severity_rates={"INFO": 0.0}, version=5)
    client = start()
    server.wait_for(lambda s: bool(s.seen))
    wait_until(lambda: client.has_policy)
    assert sampler.policy.version == 5
    log(sampler, 2)
    assert sampler.decide(INFO, "User 1 logged in") == 0.0
    assert server.seen[0].path == "/api/v1/policies/orders?team_id=7"
    assert "Authorization" not in server.seen[0].headers


def test_a_key_is_sent_as_a_bearer_token(server: FakeLipService, start: Start) -> None:
    start(api_key="secret-1")
    server.wait_for(lambda s: bool(s.seen))
    assert server.seen[0].headers["Authorization"] == "Bearer secret-1"


@pytest.mark.parametrize(
    ("name", "path"),
    [("bestillinger æ", "bestillinger%20%C3%A6"), ("a/b", "a%2Fb"), ("a?b", "a%3Fb")],
)
def test_the_name_is_percent_encoded(
    server: FakeLipService, start: Start, name: str, path: str
) -> None:
    start(name)
    server.wait_for(lambda s: bool(s.seen))
    assert server.seen[0].path == f"/api/v1/policies/{path}?team_id=7"


def test_a_name_with_a_slash_is_said_at_once(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    start("a/b")
    assert "no policies for names with a slash" in capsys.readouterr().err


def test_a_url_with_a_path_in_front(server: FakeLipService, start: Start) -> None:
    start(url=f"{server.url}/lip")
    server.wait_for(lambda s: bool(s.seen))
    assert server.seen[0].path == "/lip/api/v1/policies/orders?team_id=7"


def test_from_unknown_to_the_default_policy(
    server: FakeLipService, sampler: Sampler, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    client = start(policy_refresh_seconds=0.2, pattern_report_seconds=0.5)
    server.wait_for(lambda s: [one.status for one in s.requests("GET")][:2] == [404, 404])
    assert not client.has_policy
    assert client.requests_failed == 0
    log(sampler, 5)
    server.wait_for(lambda s: bool(s.reports))
    wait_until(lambda: client.has_policy)
    assert (sampler.policy.version, sampler.policy.generated_by) == (0, "default")
    assert capsys.readouterr().err == ""


def test_a_report_is_what_the_server_wants(
    server: FakeLipService, sampler: Sampler, start: Start
) -> None:
    before = time.time()
    client = start()
    log(sampler, 3, "User 1 logged in")
    sampler.decide(ERROR, "failed")
    client.close(5)
    (report,) = server.reports
    assert before <= report["timestamp"] <= time.time()
    names = ("service_name", "team_id", "total_logs", "unique_patterns")
    assert {name: report[name] for name in names} == {
        "service_name": "orders",
        "team_id": 7,
        "total_logs": 4,
        "unique_patterns": 2,
    }
    assert server.counts() == {
        signature_of("User 1 logged in"): (3, 3),
        signature_of("failed"): (1, 1),
    }
    assert all(before <= p["first_seen"] <= p["last_seen"] for p in report["patterns"])
    assert "logged in" not in str(server.seen), "no text leaves the process"


def test_reports_come_at_their_interval_and_none_when_nothing_was_logged(
    server: FakeLipService, sampler: Sampler, start: Start
) -> None:
    client = start(pattern_report_seconds=0.05)
    for number in range(1, 4):
        log(sampler, 2)
        server.wait_for(lambda s, number=number: len(s.reports) == number)  # type: ignore[misc]
    server.wait_for(lambda s: len(s.reports) == 3)
    client.close(5)
    assert server.total() == 6
    assert len(server.reports) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 503])
def test_a_report_that_was_surely_not_accepted_is_sent_again(
    server: FakeLipService, sampler: Sampler, start: Start, status: int
) -> None:
    client = start(pattern_report_seconds=0.05)
    server.wait_for(lambda s: bool(s.seen))
    server.answer(status, times=3)
    log(sampler, 10)
    server.wait_for(lambda s: bool(s.reports))
    assert server.total() == 10
    assert client.requests_failed == 3
    assert client.reports_uncertain == 0
    assert server.counts()[signature_of("User 1 logged in")] == (10, 10)


def test_a_report_without_an_answer_is_not_sent_twice(
    server: FakeLipService, sampler: Sampler, start: Start
) -> None:
    client = start(pattern_report_seconds=0.05)
    server.wait_for(lambda s: bool(s.seen))
    server.answer(500, times=1, after_taking=True)
    log(sampler, 10)
    wait_until(lambda: client.reports_uncertain == 1)
    log(sampler, 1)
    client.close(5)
    assert server.total() == 11, "the server had taken it"


def test_entries_that_come_while_a_report_is_on_its_way_are_counted(
    server: FakeLipService, sampler: Sampler, start: Start
) -> None:
    def log_more(_: object) -> bool:
        log(sampler, 50)
        return True

    client = start(pattern_report_seconds=0.05)
    server.wait_for(lambda s: bool(s.seen))
    server.answers.append(answer_that(log_more, times=1))
    log(sampler, 100)
    server.wait_for(lambda s: s.total() >= 100)
    client.close(5)
    assert server.total() == 150


def answer_that(act: Callable[[Any], bool], times: int) -> Any:
    from support.lipservice import Answer

    return Answer(act=act, times=times)


@pytest.mark.parametrize(
    "body",
    [b"", b"no", b"[]", b"{}", b'{"version": 1, "global_rate": NaN}', b"\xff\xfe", b"[" * 9999],
)
def test_rubbish_leaves_the_last_good_policy(
    server: FakeLipService, sampler: Sampler, start: Start, body: bytes
) -> None:
    server.set_policy("orders", version=5)
    client = start(policy_refresh_seconds=0.05)
    wait_until(lambda: client.has_policy)
    failed = client.requests_failed
    server.answer(200, body)
    wait_until(lambda: client.requests_failed >= failed + 2)
    assert sampler.policy.version == 5
    assert "policy that is not usable" in (client.last_error or "")


def test_a_large_policy_is_read_whole(
    server: FakeLipService, sampler: Sampler, start: Start
) -> None:
    rates = {digest(str(n)): 0.5 for n in range(10_000)}
    server.set_policy("orders", pattern_rates=rates)
    client = start()
    wait_until(lambda: client.has_policy)
    assert len(sampler.policy.pattern_rates) == 10_000


def test_it_backs_off_and_says_so_at_most_once_a_minute(
    server: FakeLipService, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer(500)
    client = start(policy_refresh_seconds=0.04)
    wait_until(lambda: client.requests_failed >= 5)
    said = capsys.readouterr().err
    assert said.count("WARNING") == 1
    assert "LipService has no policy for us (HTTP 500)" in said


def test_pauses_grow_up_to_the_interval() -> None:
    from sovdev_logger._sampling.lipservice_client import _Schedule

    schedule = _Schedule(300.0, lambda low, high: high, due_now=True)
    pauses = []
    for _ in range(9):
        schedule.reschedule(succeeded=False)
        pauses.append(round(schedule.due - time.monotonic()))
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    schedule.reschedule(succeeded=True)
    assert round(schedule.due - time.monotonic()) == 330


def test_intervals_have_a_jitter_of_a_tenth() -> None:
    from random import Random

    from sovdev_logger._sampling.lipservice_client import _Schedule

    schedule = _Schedule(300.0, Random(1).uniform, due_now=True)
    pauses = []
    for _ in range(500):
        schedule.reschedule(succeeded=True)
        pauses.append(schedule.due - time.monotonic())
    assert 269 <= min(pauses) < 275
    assert 325 < max(pauses) <= 331


def test_a_mute_server_holds_neither_the_start_nor_the_end(
    server: FakeLipService, sampler: Sampler, start: Start
) -> None:
    server.be_mute()
    client = start()
    server.wait_for(lambda s: bool(s.seen))
    log(sampler, 5)
    deadline = time.monotonic() + 1
    client.close(1)
    assert time.monotonic() < deadline + 0.5


def test_a_fetch_that_hangs_leaves_time_for_the_last_report(
    server: FakeLipService, sampler: Sampler, start: Start
) -> None:
    server.be_mute()
    client = start()
    server.wait_for(lambda s: bool(s.seen))
    log(sampler, 5)
    server.recover()
    client.close(5)
    assert server.total() == 5


def test_a_server_that_is_not_there(sampler: Sampler, start: Start) -> None:
    client = start(url="http://127.0.0.1:9", pattern_report_seconds=0.05)
    log(sampler, 5)
    wait_until(lambda: client.requests_failed >= 2)
    assert client.reports_uncertain == 0
    client.close(5)
    assert sampler.collect_report().total == 5, "nobody got it, so it is still counted"


def test_closing_twice_and_after_the_end(server: FakeLipService, start: Start) -> None:
    client = start()
    client.close(5)
    client.close(5)
    client.start()
    assert not server.reports


def test_what_is_surely_not_accepted() -> None:
    assert surely_not_accepted(HttpResult(None, error="refused", was_sent=False))
    assert not surely_not_accepted(HttpResult(None, error="timed out"))
    statuses = [status for status in range(200, 600) if surely_not_accepted(HttpResult(status))]
    assert statuses == [*range(300, 500), 503]


def test_a_policy_can_be_asked_for_once(server: FakeLipService) -> None:
    server.set_policy("orders", version=9)
    settings = LipServiceSettings(server.url, 7)
    assert fetch_policy(settings, "orders").version == 9
    with pytest.raises(PolicyError, match="no policy for others: HTTP 404"):
        fetch_policy(settings, "others")
    with pytest.raises(PolicyError, match="no policy for orders: "):
        fetch_policy(LipServiceSettings("http://127.0.0.1:9", 7), "orders")


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
