"""Redaction by the user's own rules: what each replaces, what it leaves, what is counted."""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sovdev_logger._safety import detectors
from sovdev_logger._safety.detectors import make_detector
from sovdev_logger._safety.own_rules import OwnRules, OwnRulesSanitizer, Rules
from sovdev_logger._settings.redaction import MAX_FILE_BYTES
from sovdev_logger._settings.service import Settings, read_settings

KEY = "a key of at least 16 characters"
DETECTED = ("fodselsnummer", "email", "iban", "card", "phone")


class Made:
    """A sanitizer with rules, and what it counted and warned of."""

    def __init__(self, **rules: Any) -> None:
        self.counted: Counter[str] = Counter()
        self.warnings: dict[str, str] = {}
        self.rules = OwnRules(Rules(**rules), self.warnings.setdefault)
        self.sanitizer = OwnRulesSanitizer(65536, self.rules, self._count)

    def _count(self, rule: str, number: int) -> None:
        self.counted[rule] += number

    def value(self, value: object) -> Any:
        return json.loads(self.sanitizer.texts("m", value, None)[1])

    def message(self, text: str) -> str:
        return self.sanitizer.texts(text, None, None)[0]


def detecting(*names: str) -> Made:
    return Made(detectors={name: make_detector(name) for name in names})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"personnr": "1"}, {"personnr": "[REDACTED]"}),
        ({"PersonNr": 17}, {"PersonNr": "[REDACTED]"}),
        ({"a": [{"person-nr": {"b": 1}}]}, {"a": [{"person-nr": "[REDACTED]"}]}),
        ({"personnr": None, "person_nr": True}, {"personnr": None, "person_nr": True}),
        ({"personnrs": "1", "x_personnr": "2"}, {"personnrs": "1", "x_personnr": "2"}),
        ([("personnr", "1")], [["personnr", "[REDACTED]"]]),
        ([(b"personnr", b"1")], [["personnr", "[REDACTED]"]]),
        ({"customer": {"name": "Ola"}}, {"customer": {"name": "[REDACTED]"}}),
        ({"customer": [{"name": "Ola"}]}, {"customer": [{"name": "[REDACTED]"}]}),
        ({"product": {"name": "Ola"}}, {"product": {"name": "Ola"}}),
        (
            {"note": 'sent {"personnr": "1 2", "n": 1}'},
            {"note": 'sent {"personnr": "[REDACTED]", "n": 1}'},
        ),
        ({"password": "hunter2"}, {"password": "[REDACTED]"}),
    ],
)
def test_a_key_of_ones_own(value: object, expected: object) -> None:
    made = Made(keys=("personNr", "customer.name"))
    assert made.value(value) == expected
    assert made.value(expected) == expected, "redacting twice is redacting once"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("personnr=123 ok", "personnr=[REDACTED] ok"),
        ("?personNr=123&page=2", "?personNr=[REDACTED]&page=2"),
        ("{'person_nr': '12 3'}", "{'person_nr': '[REDACTED]'}"),
        (r'"{\"personnr\": \"12 3\", \"n\": 1}"', r'"{\"personnr\": \"[REDACTED]\", \"n\": 1}"'),
        ("Person nr: 123, then", "Person nr: [REDACTED], then"),
        ("personnr=None and the personnr is missing", "personnr=None and the personnr is missing"),
        ("xpersonnr=1", "xpersonnr=1"),
    ],
)
def test_a_key_of_ones_own_in_a_text(text: str, expected: str) -> None:
    made = Made(keys=("person_nr",))
    assert made.message(text) == expected
    assert made.message(expected) == expected, "redacting twice is redacting once"


def test_what_is_allowed_is_not_redacted_for_its_name() -> None:
    made = Made(keys=("id",), allow=("session_id", "order.id"))
    given = {"session_id": "s1", "order": {"id": 7}, "id": 8, "pair": ("session_id", "s1")}
    assert made.value(given) == {
        "session_id": "s1",
        "order": {"id": 7},
        "id": "[REDACTED]",
        "pair": ["session_id", "s1"],
    }
    assert made.value({"session_id": "ghp_abcdefghij0123"}) == {"session_id": "[REDACTED]"}


def test_the_same_person_is_the_same_pseudonym() -> None:
    made, other = (Made(pseudonym_keys=("user",), pseudonym_key=KEY) for _ in range(2))
    token = made.value({"user": "ola"})["user"]
    assert re.fullmatch(r"\[PSEUDONYM:[a-p]{24}\]", token)
    assert other.value({"user": ["ola", {"id": "kari"}]})["user"][0] == token
    assert other.message("user=ola did it") == f"user={token} did it"
    assert made.value({"user": token}) == {"user": token}, "twice is once"
    assert made.value({"user": "kari"}) != {"user": token}
    assert made.value({"user": 17}) == made.value({"user": "17"})
    assert Made(pseudonym_keys=("user",), pseudonym_key=KEY + "2").value({"user": "ola"}) != {
        "user": token
    }
    assert KEY not in repr(Rules(pseudonym_key=KEY))


def test_a_pattern_of_ones_own() -> None:
    made = Made(patterns={"case": re.compile("CASE-[0-9]{4}"), "number": re.compile("^4711$")})
    given = {"a": "see CASE-1234 and CASE-5678", "CASE-0000": 4711, "n": 4712}
    assert made.value(given) == {
        "a": "see [REDACTED] and [REDACTED]",
        "[REDACTED]": "[REDACTED]",
        "n": 4712,
    }
    assert made.message("CASE-1234") == "[REDACTED]"
    assert made.sanitizer.exception(ValueError("CASE-1234"))[0] == "[REDACTED]"
    assert made.counted == {"pattern:case": 6, "pattern:number": 1}


def test_a_function_gets_path_and_value() -> None:
    seen: list[tuple[str, Any]] = []

    def redact(path: str, value: Any) -> object:
        seen.append((path, value))
        return {"input_json.a.b": "changed", "input_json.n": 0}.get(path, value)

    made = Made(function=redact)
    given = {"a": {"b": "secret", "c": [1.5, True, None]}, "n": 5, "password": "x"}
    assert made.value(given) == {
        "a": {"b": "changed", "c": [1.5, True, None]},
        "n": 0,
        "password": "[REDACTED]",
    }
    assert seen == [
        ("message", "m"),
        ("input_json.a.b", "secret"),
        ("input_json.a.c", 1.5),
        ("input_json.n", 5),
    ]
    assert made.counted == {"function": 2, "credential_name": 1}


def fails(_path: str, _value: Any) -> object:
    raise LookupError("a secret in its text")


def recurses(path: str, value: Any) -> object:
    return recurses(path, value)


@pytest.mark.parametrize("function", [fails, recurses, lambda *_: object(), lambda: None])
def test_a_function_that_fails_replaces_the_value(function: Callable[..., object]) -> None:
    made = Made(function=function)
    assert made.value({"a": "x", "n": 1}) == {"a": "[REDACTED]", "n": "[REDACTED]"}
    assert made.message("m") == "[REDACTED]"
    (warning,) = made.warnings.values()
    assert "redact" in warning
    assert "a secret in its text" not in warning


def test_a_function_is_called_at_most_a_thousand_times_for_a_value() -> None:
    calls: list[str] = []

    def redact(path: str, value: Any) -> object:
        calls.append(path)
        return value

    made = Made(function=redact)
    values = made.value(list(range(3000)))
    assert len(calls) == 1 + 1000
    assert values[999:1001] == [999, "[REDACTED]"]
    assert set(values[1000:]) == {"[REDACTED]"}


def test_a_function_that_logs_does_not_recurse() -> None:
    inner: list[str] = []

    def redact(_path: str, value: Any) -> object:
        inner.append(made.message("inside"))
        return value

    made = Made(function=redact)
    assert made.message("outside") == "outside"
    assert inner == ["[REDACTED]"]
    assert "Do not log" in made.warnings["redact:inside"]


@pytest.mark.parametrize(
    ("name", "text", "secret"),
    [
        ("fodselsnummer", "born 01010750160 in", "01010750160"),
        ("fodselsnummer", "born 010107 50160.", "010107 50160"),
        ("fodselsnummer", "D-number 41010710012", "41010710012"),
        ("email", "to ola.nordmann+x@example.no, please", "ola.nordmann+x@example.no"),
        ("email", "?to=ola%40example.no", "ola%40example.no"),
        ("iban", "NO93 8601 1117 947 PAID", "NO93 8601 1117 947"),
        ("iban", "to GB82WEST12345698765432.", "GB82WEST12345698765432"),
        ("card", "paid by 4111 1111 1111 1111 today", "4111 1111 1111 1111"),
        ("card", "5500-0000-0000-0004", "5500-0000-0000-0004"),
        ("card", "378282246310005", "378282246310005"),
        ("phone", "call +47 22 12 34 56 now", "+47 22 12 34 56"),
        ("phone", "ring 22123456", "22123456"),
    ],
)
def test_what_is_detected(name: str, text: str, secret: str) -> None:
    made = detecting(name)
    assert made.message(text) == text.replace(secret, "[REDACTED]")
    assert made.value({"k": text}) == {"k": text.replace(secret, "[REDACTED]")}
    assert made.counted == {name: 2}


@pytest.mark.parametrize("name", DETECTED)
@pytest.mark.parametrize(
    "text",
    [
        "order 01010750161, 99999999999 and 00000000000",
        "decorator @app.route and me@localhost",
        "NO94 8601 1117 947 and ABCD1234EFGH5678IJKL",
        "id 4111 1111 1111 1112, at 1764060000000000000 ns",
        "version 1.2.3, took 17 ms, https://example.no/a/b?c=1",
    ],
)
def test_what_is_not_detected(name: str, text: str) -> None:
    assert detecting(name).message(text) == text


def test_a_number_is_detected_too() -> None:
    made = detecting(*DETECTED)
    given = {"nr": 41010710012, "card": 4111111111111111, "n": 17, "f": 1.5}
    assert made.value(given) == {"nr": "[REDACTED]", "card": "[REDACTED]", "n": 17, "f": 1.5}


@pytest.mark.parametrize(
    "text", ["1" * 60000, "a@" * 30000, "A0" * 30000, "1 " * 30000, "a." * 30000, "user=" * 12000]
)
def test_hostile_texts_take_linear_time(text: str) -> None:
    """The test's own limit of time ends it where a pattern backtracks."""
    made = Made(
        keys=("user",),
        detectors={name: make_detector(name) for name in DETECTED if name != "phone"},
    )
    assert made.message(text)


def test_a_detector_without_its_library_is_one_clear_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> detectors.Detector:
        if name == "phone":
            raise ImportError("No module named 'phonenumbers'")
        return make_detector(name)

    monkeypatch.setattr("sovdev_logger._settings.redaction.make_detector", missing)
    settings = read_settings({"SOVDEV_REDACT_DETECT": "phone, email"})
    assert settings.own_rules is not None
    assert list(settings.own_rules.detectors) == ["email"]
    (problem,) = settings.problems
    assert "install sovdev-logger[phone]" in problem.message


def read(tmp_path: Path, content: bytes | None, **environ: str) -> Settings:
    path = tmp_path / "redact.json"
    if content is not None:
        path.write_bytes(content)
    return read_settings({"SOVDEV_REDACT_FILE": str(path), **environ})


def test_a_file_adds_keys_patterns_and_allowed_names(tmp_path: Path) -> None:
    content = {"keys": ["name"], "patterns": {"case": "CASE-[0-9]+"}, "allow": ["session_id"]}
    settings = read(tmp_path, json.dumps(content).encode(), SOVDEV_REDACT_KEYS="address")
    assert settings.problems == ()
    assert settings.own_rules == Rules(
        keys=("address", "name"),
        patterns={"case": re.compile("CASE-[0-9]+")},
        allow=("session_id",),
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        (b"", "Expecting value"),
        (b"{'keys': []}", "Expecting property name"),
        (b"\xff\xfe\x00", "codec"),
        (b"[" * 100_000, ""),
        (b"[]", "it holds a list"),
        (b'{"key": []}', "'key' is none of keys, patterns, allow"),
        (b'{"keys": "name"}', "'keys' is not a list"),
        (b'{"keys": [""]}', "'keys' is not a list"),
        (b'{"allow": [1]}', "'allow' is not a list"),
        (b'{"patterns": ["x"]}', "'patterns' is not an object"),
        (b" " * (MAX_FILE_BYTES + 1), "larger than 1048576 bytes"),
    ],
)
def test_a_file_that_is_not_usable_is_one_clear_problem(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    settings = read(tmp_path, content)
    (problem,) = settings.problems
    assert problem.message.startswith(f"SOVDEV_REDACT_FILE={str(tmp_path / 'redact.json')!r}")
    assert reason in problem.message
    assert 'expected a JSON object like {"keys"' in problem.message
    assert settings.own_rules is None


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "missing ), unterminated subpattern"),
        ("x*", "matches the empty text"),
        (7, "it is not a text"),
        ("x" * 2001, "longer than 2000 characters"),
    ],
)
def test_a_pattern_that_is_not_usable_is_one_clear_problem(
    tmp_path: Path, pattern: object, reason: str
) -> None:
    content = {"patterns": {"good": "CASE", "bad": pattern}}
    settings = read(tmp_path, json.dumps(content).encode())
    (problem,) = settings.problems
    assert "SOVDEV_REDACT_FILE" in problem.message
    assert "pattern 'bad'" in problem.message
    assert reason in problem.message
    assert settings.own_rules is not None
    assert list(settings.own_rules.patterns) == ["good"]


@pytest.mark.parametrize(("key", "said"), [("", "is not set"), ("short-key", "is too short")])
def test_without_a_good_key_the_values_are_redacted(key: str, said: str) -> None:
    settings = read_settings(
        {"SOVDEV_REDACT_PSEUDONYM_KEYS": "user", "SOVDEV_REDACT_PSEUDONYM_KEY": key}
    )
    assert settings.own_rules == Rules(keys=("user",))
    (problem,) = settings.problems
    assert f"SOVDEV_REDACT_PSEUDONYM_KEY {said}" in problem.message
    assert "short-key" not in problem.message


def test_an_unknown_detector_is_a_problem() -> None:
    settings = read_settings({"SOVDEV_REDACT_DETECT": "email,passport"})
    assert "expected some of fodselsnummer, email" in settings.problems[0].message
    assert settings.own_rules is None


def test_threads_count_everything() -> None:
    from sovdev_logger._service.redaction import RedactionCounts  # noqa: PLC0415

    counts = RedactionCounts()
    threads = [threading.Thread(target=counts.count, args=("key", 500)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts.read() == {"key": 4000}
