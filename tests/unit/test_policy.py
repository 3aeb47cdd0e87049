"""A policy is checked when it arrives, and says what is kept."""

import json
from typing import Any

import pytest

from sovdev_logger._entry.levels import LEVELS, find_level
from sovdev_logger._sampling.lipservice_signatures import client_signature, server_signature
from sovdev_logger._sampling.policy import (
    LOCAL_DEFAULTS,
    Policy,
    PolicyError,
    parse_policy,
    uniform_policy,
)
from sovdev_logger._sampling.signature import signature_of
from support.lipservice import DEFAULT_POLICY

# Message, signature of LipService's Python client, signature of its server.
PUBLISHED = [
    ("", "d41d8cd98f00b204e9800998ecf8427e", "a2e4822a98337283e39f7b60acf85ec9"),
    ("User 123 logged in", "1a1c3b94e8102ab1a090fe23b620e051", "192e2189dedd759b686b29a872987cc1"),
    ("user 123 LOGGED in", "7f5c6a829cd6d31255ec63edb0628128", "192e2189dedd759b686b29a872987cc1"),
    (
        "Request 550e8400-e29b-41d4-a716-446655440000 done",
        "1f7375651b9dfe2302a491b5b3dfd0c1",
        "4f9b352cfe52a651cd320b90d24776d3",
    ),
    (
        "at 2025-01-09T10:30:00.123456Z",
        "1a6ec2fba3defb455a2bff67df6e8206",
        "9bf76696561be17375a42a6dc60778b7",
    ),
    (
        "mail to Jane.Doe+x@mail.example.co.uk now",
        "b8c7e2ad9d7f92ed746c04fe797fe563",
        "3913d73d808a0295ea3a03903e8e48f0",
    ),
    (
        "GET https://api.example.com/v1/users/42?x=1 200",
        "c2754c2d8d9d2d401b9aed188c06fd09",
        "69f9f60b925e5928c98224d3eeb92d02",
    ),
    (
        "open C:\\Users\\joe\\17\\a.txt failed",
        "f661a1e4c167e3a030cbe6507bfb867a",
        "2b66a3c45e251f8c99cedbace68c5a70",
    ),
    ("日本42件 N", "134297173e57149de103cfff4ba42246", "0825a4150604314df90ed997f715bee5"),
]


@pytest.mark.parametrize(("message", "client", "server"), PUBLISHED)
def test_the_signatures_that_lipservice_makes(message: str, client: str, server: str) -> None:
    assert client_signature(message) == client
    assert server_signature(message) == server


def test_the_servers_default_policy_is_understood() -> None:
    policy = parse_policy(json.loads(json.dumps(DEFAULT_POLICY)))
    rates = {level.name: policy.rate_for_level(level) for level in LEVELS}
    assert rates == {
        "trace": 0.1, "debug": 0.1, "info": 0.3, "warn": 0.7, "error": 1.0, "fatal": 1.0,
    }  # fmt: skip
    assert (policy.version, policy.anomaly_boost, policy.generated_by) == (0, 2.0, "default")


def policy_with(**fields: Any) -> Policy:
    return parse_policy({**DEFAULT_POLICY, **fields})


@pytest.mark.parametrize(
    ("given", "used"),
    [(7.0, 1.0), (-3, 0.0), (10**400, 1.0), (0.25, 0.25), (True, None)],
    ids=["7", "-3", "huge", "0.25", "true"],
)
def test_rates_are_brought_into_their_bounds_with_a_warning(
    given: Any, used: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if used is None:
        with pytest.raises(PolicyError, match="global_rate must be a number, not True"):
            policy_with(global_rate=given)
        return
    policy = policy_with(global_rate=given, pattern_rates={"a": given}, severity_rates={})
    assert policy.global_rate == policy.pattern_rates["a"] == used
    warnings = capsys.readouterr().err
    assert warnings.count("WARNING") == (0 if given == used else 1)
    assert given == used or "not between 0 and 1" in warnings


def test_a_boost_below_one_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert policy_with(anomaly_boost=0.1).anomaly_boost == 1.0
    assert "anomaly_boost = 0.1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "expected a JSON object, got NoneType"),
        ([], "expected a JSON object, got list"),
        ({}, "version is missing"),
        ({"version": 1}, "global_rate is missing"),
        ({**DEFAULT_POLICY, "version": "1"}, "version must be a whole number, not '1'"),
        ({**DEFAULT_POLICY, "version": True}, "version must be a whole number"),
        ({**DEFAULT_POLICY, "global_rate": float("nan")}, "global_rate must be a number, not nan"),
        ({**DEFAULT_POLICY, "global_rate": None}, "global_rate must be a number"),
        ({**DEFAULT_POLICY, "severity_rates": [1]}, "severity_rates must be an object"),
        ({**DEFAULT_POLICY, "severity_rates": {"INFO": "x"}}, r"severity_rates\['INFO'\] must be"),
        ({**DEFAULT_POLICY, "pattern_rates": {"ab": {}}}, r"pattern_rates\['ab'\] must be"),
        ({**DEFAULT_POLICY, "anomaly_boost": "2"}, "anomaly_boost must be a number"),
    ],
)
def test_what_is_no_policy(answer: object, why: str) -> None:
    with pytest.raises(PolicyError, match=why):
        parse_policy(answer)


def test_unknown_fields_and_levels_are_ignored() -> None:
    policy = policy_with(created_at="now", severity_rates={"NOISE": 0.5, "INFO": 0.4})
    assert policy.severity_rates == {"info": 0.4}


def test_what_a_server_leaves_out_is_neutral() -> None:
    policy = parse_policy({"version": 4, "global_rate": 0.5})
    assert [policy.rate_for_level(level) for level in LEVELS] == [0.5] * 6
    assert policy.anomaly_boost == 1.0


@pytest.mark.parametrize(
    ("name", "level"),
    [("WARN", "warn"), ("warning", "warn"), ("CRITICAL", "fatal"), ("Fatal", "fatal")],
)
def test_both_names_of_a_level_mean_it(name: str, level: str) -> None:
    found = find_level(level)
    assert found is not None
    policy = policy_with(severity_rates={name: 0.25}, global_rate=0.5)
    assert policy.rate_for_level(found) == 0.25


def test_of_two_rates_for_one_level_the_one_that_keeps_more_counts() -> None:
    assert policy_with(severity_rates={"WARN": 0.9, "WARNING": 0.2}).severity_rates["warn"] == 0.9


MESSAGE = "Request 550e8400-e29b-41d4-a716-446655440000 done"
NAMES = [signature_of(MESSAGE), client_signature(MESSAGE), server_signature(MESSAGE)]


@pytest.mark.parametrize("key", [*NAMES, *(name[:8] for name in NAMES), NAMES[0].upper()])
def test_a_pattern_is_found_by_each_of_its_names(key: str) -> None:
    policy = policy_with(pattern_rates={key: 0.125, "other": 0.5})
    assert policy.rate_for_pattern(NAMES[0], MESSAGE) == 0.125


def test_the_whole_of_our_own_signature_goes_first() -> None:
    policy = policy_with(pattern_rates={NAMES[2]: 0.1, NAMES[0][:8]: 0.2, NAMES[0]: 0.3})
    assert policy.rate_for_pattern(NAMES[0], MESSAGE) == 0.3


def test_a_pattern_without_a_rate_has_none() -> None:
    assert policy_with(pattern_rates={"x": 1}).rate_for_pattern(NAMES[0], MESSAGE) is None
    assert LOCAL_DEFAULTS.rate_for_pattern(NAMES[0], MESSAGE) is None


def test_the_local_defaults() -> None:
    rates = [LOCAL_DEFAULTS.rate_for_level(level) for level in LEVELS]
    assert rates == [0.05, 0.05, 0.2, 0.5, 1.0, 1.0]
    assert [uniform_policy(0.3).rate_for_level(level) for level in LEVELS] == [0.3] * 6
