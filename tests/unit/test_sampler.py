"""What is kept, at which rate, and what is counted."""

import logging
import logging.config
import random
import sys
import threading
from typing import Any

import pytest

from sovdev_logger._entry.levels import DEBUG, ERROR, FATAL, INFO, TRACE, WARN, Level
from sovdev_logger._sampling.filter import AdaptiveSampler
from sovdev_logger._sampling.managed import ManagedSampler
from sovdev_logger._sampling.pattern_table import (
    BOOST_SECONDS,
    JUMP_FACTOR,
    WINDOW_SECONDS,
    WINDOWS_BEFORE_A_JUMP,
)
from sovdev_logger._sampling.policy import Policy, uniform_policy
from sovdev_logger._sampling.process import set_process_sampler
from sovdev_logger._sampling.sampler import Sampler
from sovdev_logger._sampling.signature import signature_of

NOTHING = uniform_policy(0.0)


class Clock:
    """Unix seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def seeded(policy: Policy, **options: Any) -> Sampler:
    return Sampler(policy, chance=random.Random(4).random, **options)


def test_the_first_of_a_pattern_is_kept_and_the_rest_is_not() -> None:
    sampler = Sampler(NOTHING)
    assert [sampler.decide(INFO, f"User {n} logged in") for n in range(4)] == [1.0, 0.0, 0.0, 0.0]
    assert sampler.decide(INFO, "another") == 1.0


@pytest.mark.parametrize("level", [ERROR, FATAL])
def test_errors_are_kept_whatever_the_policy_says(level: Level) -> None:
    sampler = Sampler(Policy(severity_rates={level.name: 0.0}, global_rate=0.0))
    assert {sampler.decide(level, "failed") for _ in range(50)} == {1.0}


def test_what_has_to_be_kept_is() -> None:
    sampler = Sampler(NOTHING)
    assert {sampler.decide(DEBUG, "x", always=True) for _ in range(50)} == {1.0}


def test_a_pattern_goes_before_its_level_up_and_down() -> None:
    rates = {signature_of("loud 1"): 0.0, signature_of("rare 1"): 1.0}
    sampler = Sampler(Policy(severity_rates={"info": 0.5}, pattern_rates=rates))
    for message, expected in (("loud 1", 0.0), ("rare 1", 1.0)):
        sampler.decide(INFO, message)
        assert {sampler.decide(INFO, message) for _ in range(50)} == {expected}


def test_another_policy_counts_at_once() -> None:
    sampler = Sampler(uniform_policy(1.0))
    assert [sampler.decide(INFO, "x") for _ in range(3)] == [1.0] * 3
    sampler.set_policy(Policy(pattern_rates={signature_of("x"): 0.0}))
    assert sampler.decide(INFO, "x") == 0.0
    sampler.set_policy(uniform_policy(1.0))
    assert sampler.decide(INFO, "x") == 1.0


@pytest.mark.parametrize(
    ("level", "rate"), [(TRACE, 0.05), (DEBUG, 0.05), (INFO, 0.2), (WARN, 0.5), (ERROR, 1.0)]
)
def test_shares_and_scaled_counts_are_true(level: Level, rate: float) -> None:
    sampler = seeded(Sampler().policy)
    count = 100_000
    rates = [sampler.decide(level, f"User {n} logged in") for n in range(count)]
    kept = [one for one in rates if one]
    assert abs(len(kept) / count - rate) < 0.01
    assert abs(sum(1 / one for one in kept) - count) < 0.02 * count
    assert set(kept) <= {1.0, rate}


def test_chances_are_our_own() -> None:
    random.seed(1)
    expected = random.random()
    random.seed(1)
    sampler = Sampler(uniform_policy(0.5))
    for _ in range(10):
        sampler.decide(INFO, "x")
    assert random.random() == expected


def test_every_entry_is_counted_by_level() -> None:
    sampler = Sampler(NOTHING)
    for level in (INFO, INFO, INFO, ERROR):
        sampler.decide(level, "x")
    kept, sampled_out = sampler.counts()
    assert (kept["info"], sampled_out["info"], kept["error"], sampled_out["error"]) == (1, 2, 1, 0)


# The table.


def test_the_table_is_bounded_and_the_totals_are_exact() -> None:
    sampler = Sampler(NOTHING, max_patterns=5)
    words = [f"word{letter}" for letter in "abcdefghijklmnopqrst"]
    for word in words:
        for _ in range(3):
            sampler.decide(INFO, word)
    assert sampler.patterns_tracked == 5
    report = sampler.collect_report()
    assert (report.total, report.unique_patterns, len(report.patterns)) == (60, 20, 5)
    assert {(one.seen, one.kept) for one in report.patterns} == {(3, 1)}


def test_the_least_recently_seen_pattern_makes_room() -> None:
    sampler = Sampler(NOTHING, max_patterns=2)
    for message in ("a", "b 1", "a", "c", "a", "b 2"):
        last = sampler.decide(INFO, message)
    assert sampler.decide(INFO, "a") == 0.0, "a was seen all the time"
    assert last == 1.0, "b had to make room for c, and is new again"


def test_a_report_holds_what_came_since_the_last_one() -> None:
    clock = Clock()
    sampler = Sampler(NOTHING, clock=clock)
    sampler.decide(INFO, "a 1")
    clock.now += 5
    sampler.decide(INFO, "a 2")
    first = sampler.collect_report()
    assert first.total == 2
    assert first.patterns == [(signature_of("a 1"), 2, 1, 1_000_000.0, 1_000_005.0)]
    assert sampler.collect_report() == (0, 0, [])
    sampler.decide(INFO, "a 3")
    assert [(one.seen, one.kept) for one in sampler.collect_report().patterns] == [(1, 0)]


def test_what_nobody_got_is_counted_again() -> None:
    sampler = Sampler(NOTHING)
    sampler.decide(INFO, "a")
    report = sampler.collect_report()
    sampler.decide(INFO, "a")
    sampler.put_back(report)
    again = sampler.collect_report()
    assert (again.total, again.patterns[0].seen, again.patterns[0].kept) == (2, 2, 1)


@pytest.mark.parametrize("max_patterns", [50, 5])
def test_nothing_is_lost_between_threads_and_reports(max_patterns: int) -> None:
    sampler = Sampler(uniform_policy(0.5), max_patterns=max_patterns)
    go_on = threading.Event()
    each = 5_000

    def log(number: int) -> None:
        for count in range(each):
            sampler.decide(INFO, f"thread {'abcdefgh'[number]} {'xyz'[count % 3]}")

    threads = [threading.Thread(target=log, args=(number,)) for number in range(8)]
    total = seen = kept = 0
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            report = sampler.collect_report()
            assert all(0 <= one.kept <= one.seen for one in report.patterns)
            assert sum(one.seen for one in report.patterns) <= report.total
            if go_on.is_set():
                sampler.put_back(report)
            else:
                total += report.total
                seen += sum(one.seen for one in report.patterns)
                kept += sum(one.kept for one in report.patterns)
            (go_on.clear if go_on.is_set() else go_on.set)()
    finally:
        sys.setswitchinterval(interval)
        for thread in threads:
            thread.join()
    report = sampler.collect_report()
    assert total + report.total == 8 * each, "also when patterns have to make room"
    if max_patterns < 24:
        return
    assert seen + sum(one.seen for one in report.patterns) == 8 * each
    assert kept + sum(one.kept for one in report.patterns) == sum(sampler.counts()[0].values())


def test_a_forked_childs_counts_are_its_own() -> None:
    sampler = Sampler(NOTHING)
    sampler.decide(INFO, "a")
    sampler.reset_after_fork()
    assert sampler.collect_report().total == 0
    assert sampler.decide(INFO, "a") == 1.0


# What comes unusually often.


def minutes(sampler: Sampler, clock: Clock, count: int, each: int) -> None:
    for _ in range(count):
        for _ in range(each):
            sampler.decide(INFO, "request done")
        clock.now += WINDOW_SECONDS


def test_a_pattern_that_jumps_is_boosted_for_a_while() -> None:
    clock = Clock()
    sampler = Sampler(Policy(global_rate=0.2, anomaly_boost=3.0), clock=clock, chance=lambda: 0.0)
    minutes(sampler, clock, WINDOWS_BEFORE_A_JUMP + 1, 100)
    usual = int(100 * JUMP_FACTOR) - 50
    assert {sampler.decide(INFO, "request done") for _ in range(usual)} == {0.2}
    rates = [sampler.decide(INFO, "request done") for _ in range(200)]
    assert rates[0] == 0.2
    assert rates[-1] == pytest.approx(0.6)
    clock.now += BOOST_SECONDS - 1
    assert sampler.decide(INFO, "request done") == pytest.approx(0.6)
    clock.now += 2
    assert sampler.decide(INFO, "request done") == 0.2


def test_a_boost_does_not_pass_one() -> None:
    clock = Clock()
    sampler = Sampler(Policy(global_rate=0.5, anomaly_boost=9.0), clock=clock, chance=lambda: 0.0)
    minutes(sampler, clock, 5, 30)
    assert max(sampler.decide(INFO, "request done") for _ in range(1000)) == 1.0


def test_a_steady_pattern_and_a_new_one_are_not_boosted() -> None:
    clock = Clock()
    sampler = Sampler(Policy(global_rate=0.2, anomaly_boost=3.0), clock=clock, chance=lambda: 0.0)
    sampler.decide(INFO, "request done")
    assert {sampler.decide(INFO, "request done") for _ in range(5000)} == {0.2}
    minutes(sampler, clock, 10, 300)
    assert {sampler.decide(INFO, "request done") for _ in range(600)} == {0.2}


def test_quiet_minutes_count_in_the_mean() -> None:
    clock = Clock()
    sampler = Sampler(Policy(global_rate=0.2, anomaly_boost=3.0), clock=clock, chance=lambda: 0.0)
    minutes(sampler, clock, 4, 1000)
    clock.now += 60 * WINDOW_SECONDS
    assert max(sampler.decide(INFO, "request done") for _ in range(200)) == pytest.approx(0.6)


def test_a_clock_that_is_set_back_stops_nothing() -> None:
    clock = Clock()
    sampler = Sampler(Policy(global_rate=0.2), clock=clock, chance=lambda: 0.0)
    minutes(sampler, clock, 3, 10)
    clock.now -= 10_000
    minutes(sampler, clock, 3, 10)
    assert sampler.collect_report().total == 60


# By trace.


def trace_of(number: int) -> str:
    return f"{random.Random(number).getrandbits(128):032x}"


def test_a_trace_is_kept_or_left_out_as_a_whole() -> None:
    rates = {signature_of("b"): 0.01}
    policy = Policy(severity_rates={"debug": 0.1, "info": 0.3}, pattern_rates=rates)
    sampler = Sampler(policy, by_trace=True)
    for message in "abc":
        sampler.decide(INFO, message)
    kept = 0
    for number in range(2000):
        digits = trace_of(number)
        decisions = {
            sampler.decide(level, message, trace_digits=digits) > 0
            for level, message in ((DEBUG, "a"), (INFO, "b"), (WARN, "c"), (DEBUG, "c"))
        }
        assert len(decisions) == 1
        assert sampler.decide(ERROR, "a", trace_digits=digits) == 1.0
        kept += decisions.pop()
    assert abs(kept / 2000 - 0.3) < 0.04


def test_processes_agree_about_a_trace() -> None:
    one, other = (Sampler(uniform_policy(0.5), by_trace=True) for _ in range(2))
    for sampler in (one, other):
        sampler.decide(INFO, "x")
    for number in range(100):
        digits = trace_of(number)
        first = one.decide(INFO, "x", trace_digits=digits)
        assert first == other.decide(INFO, "x", trace_digits=digits)


def test_without_a_trace_chance_decides() -> None:
    sampler = seeded(uniform_policy(0.5), by_trace=True)
    sampler.decide(INFO, "x")
    kept = sum(sampler.decide(INFO, "x") > 0 for _ in range(4000))
    assert abs(kept / 4000 - 0.5) < 0.05


# Anything goes wrong: the entry is kept.


def test_what_cannot_be_decided_about_is_kept() -> None:
    def broken() -> float:
        raise OSError

    sampler = Sampler(uniform_policy(0.5), chance=broken)
    assert [sampler.decide(INFO, "x") for _ in range(3)] == [1.0] * 3
    assert sampler.counts()[0]["info"] == 3


@pytest.mark.parametrize("message", ["\ud800", "", "x" * 100_000, "\0", "%s %d"])
def test_any_message_is_decided_about(message: str) -> None:
    sampler = Sampler(NOTHING)
    assert [sampler.decide(INFO, message) for _ in range(2)] == [1.0, 0.0]


# The filter.


def record(
    message: object = "x", *arguments: object, level: int = logging.INFO, **more: Any
) -> Any:
    return logging.LogRecord("a", level, "", 0, message, arguments, more.get("exc_info"))


def test_a_record_is_decided_about_once() -> None:
    sampler = Sampler(NOTHING)
    first, second = AdaptiveSampler(sampler), AdaptiveSampler(sampler)
    for _ in range(10):
        one = record("x")
        assert first.filter(one) == second.filter(one)
    assert sum(sampler.counts()[0].values()) + sum(sampler.counts()[1].values()) == 10


def test_arguments_are_values() -> None:
    sampler = Sampler(NOTHING)
    found = AdaptiveSampler(sampler)
    assert [found.filter(record("User %d logged in", n)) for n in range(3)] == [True, False, False]
    assert sampler.collect_report().patterns[0].signature == signature_of("User 1 logged in")


def test_the_pattern_may_be_that_of_the_template() -> None:
    class Costly:
        def __str__(self) -> str:
            raise AssertionError("formatted")

    sampler = Sampler(NOTHING, from_template=True)
    found = AdaptiveSampler(sampler)
    assert [found.filter(record("User %s came", Costly())) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("message", [17, {"a": 1}, ValueError("x"), None, "%d of %d", "%(x)s"])
def test_any_record_is_decided_about(message: object) -> None:
    found = AdaptiveSampler(Sampler(NOTHING))
    assert found.filter(record(message, "odd"))
    assert not found.filter(record(message, "odd"))


def test_records_with_an_exception_and_errors_are_kept() -> None:
    found = AdaptiveSampler(Sampler(NOTHING))
    error = (ValueError, ValueError("x"), None)
    assert all(found.filter(record("x", exc_info=error)) for _ in range(5))
    assert all(found.filter(record("x", level=logging.ERROR)) for _ in range(5))
    assert not found.filter(record("x", exc_info=(None, None, None)))


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def test_by_its_dotted_path_in_dictconfig() -> None:
    kept = Kept()
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"sampling": {"()": "sovdev_logger.sampling.AdaptiveSampler"}},
            "handlers": {"kept": {"()": lambda: kept, "filters": ["sampling"]}},
            "loggers": {
                "sampled.app": {"handlers": ["kept"], "level": "DEBUG", "propagate": False}
            },
        }
    )
    logger = logging.getLogger("sampled.app")
    try:
        set_process_sampler(ManagedSampler(Sampler(NOTHING)))
        for number in range(5):
            logger.info("User %d logged in", number)
            logger.error("failed %d", number)
    finally:
        set_process_sampler(None)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
    assert kept.messages == ["User 0 logged in", *(f"failed {n}" for n in range(5))]


def test_without_any_set_up_the_local_defaults_decide() -> None:
    found = AdaptiveSampler()
    passed = sum(found.filter(record("a message of its own")) for _ in range(4000))
    assert abs(passed / 4000 - 0.2) < 0.05
