"""Credentials go, ordinary text stays, wherever they stand."""

import json
import time
from collections.abc import Callable
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovdev_logger._safety import redaction
from sovdev_logger._safety.prefilter import may_contain_secret
from sovdev_logger._safety.redaction import (
    REDACTED,
    is_sensitive_key,
    redact_head,
    redact_text,
)
from sovdev_logger._safety.sanitizer import Sanitizer
from support.redaction_table import MUST_GO, MUST_STAY

go = pytest.mark.parametrize(("text", "secret"), MUST_GO)
stay = pytest.mark.parametrize("text", MUST_STAY)


@go
def test_a_secret_goes_from_a_text(text: str, secret: str) -> None:
    redacted = redact_text(text)
    assert secret not in redacted
    assert REDACTED in redacted


@go
def test_a_secret_goes_from_the_middle_of_a_message(text: str, secret: str) -> None:
    assert secret not in redact_text(f"Request 17 failed ({text}), giving up")


@go
def test_a_secret_goes_from_a_value_at_any_depth(text: str, secret: str) -> None:
    message, input_text, response_text = Sanitizer().texts(
        "m", {"a": [{"b": (text, 1)}]}, [text, {text: 1}]
    )
    assert secret not in json.dumps(json.loads(input_text))
    assert secret not in json.dumps(json.loads(response_text))
    assert message == "m"


@go
def test_a_secret_goes_from_an_exception(text: str, secret: str) -> None:
    try:
        try:
            raise KeyError(text)
        except KeyError as cause:
            raise ValueError(text) from cause
    except ValueError as error:
        message, stacktrace = Sanitizer().exception(error)
    assert secret not in message
    assert secret not in stacktrace


@go
def test_the_fast_check_sees_every_secret(text: str, secret: str) -> None:
    assert may_contain_secret(text.encode())
    assert may_contain_secret(json.dumps({"x": text}).encode())


@stay
def test_ordinary_text_stays(text: str) -> None:
    assert redact_text(text) == text
    assert redact_text(f"He wrote: {text}.") == f"He wrote: {text}."


@stay
def test_ordinary_text_stays_in_values(text: str) -> None:
    message, input_text, _ = Sanitizer().texts(text, {"note": text, "list": [text]}, None)
    assert message == text
    assert json.loads(input_text) == {"note": text, "list": [text]}


PIECES = st.sampled_from(
    [
        *(text for text, _ in MUST_GO),
        *MUST_STAY,
        *("sid", "password", "passphrase", "api_key", "key", "sig", "auth code", "dbpass", "token"),
        *(
            "Bearer",
            "BASIC ",
            "Cookie",
            "tokens",
            "_hash",
            "dXNlcjpwYXNz",
            "eyJhbGciOiJI",
            "x1234567",
        ),
        *("=", ":", ":=", "=>", "?", "&", "@", "://", "https://", "<", ">", "</", "[", "]", "/"),
        *("-", "--", "_", ".", " ", "  ", "\t", "\n", "\\n", "\\", '"', "'", '\\"'),
        *("æ", "\u212a", "\u017f"),
    ]
)


@given(st.lists(PIECES, max_size=6).map("".join))
def test_what_is_let_by_has_nothing_to_redact(text: str) -> None:
    with mock.patch.object(redaction, "may_contain_secret", return_value=True):
        thorough = redact_text(text)
    assert redact_text(text) == thorough


@given(st.text() | st.sampled_from([text for text, _ in MUST_GO]))
def test_redacting_twice_is_redacting_once(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "PASSWORD",
        "dbPassword",
        "db_password",
        "user-password",
        "passphrase",
        "secret",
        "client_secret",
        "token",
        "accessToken",
        "github_token",
        "api_key",
        "apiKey",
        "X-Api-Key",
        "Authorization",
        "Proxy-Authorization",
        "cookie",
        "Set-Cookie",
        "session_id",
        "sessionId",
        "JSESSIONID",
        "sid",
        "private_key",
        "secretAccessKey",
        "credentials",
    ],
)
@pytest.mark.parametrize("value", ["s3cr3t-v4lue", 123456, 1.5, ["s3cr3t"], {"a": "s3cr3t"}])
def test_the_value_of_a_sensitive_key_goes_whatever_it_is(key: str, value: object) -> None:
    assert is_sensitive_key(key)
    _, text, _ = Sanitizer().texts("m", {"outer": [{key: value}]}, None)
    assert json.loads(text) == {"outer": [{key: REDACTED}]}


@pytest.mark.parametrize(
    "key",
    [
        "total_tokens",
        "max_tokens",
        "token_count",
        "primary_key",
        "sort_key",
        "keyboard",
        "password_policy",
        "author",
        "session",
        "cookie_banner",
        "inside",
        "organisasjonsnummer",
    ],
)
def test_the_value_of_an_ordinary_key_stays(key: str) -> None:
    assert not is_sensitive_key(key)
    _, text, _ = Sanitizer().texts("m", {key: 17}, None)
    assert json.loads(text) == {key: 17}


@pytest.mark.parametrize("value", [None, True, False])
def test_that_there_is_a_secret_is_none(value: object) -> None:
    _, text, _ = Sanitizer().texts("m", {"password": value}, None)
    assert json.loads(text) == {"password": value}


def test_the_callers_data_is_left_as_it_was() -> None:
    given = {"password": "hunter2", "list": [{"token": "x1"}]}
    Sanitizer().texts("m", given, None)
    assert given == {"password": "hunter2", "list": [{"token": "x1"}]}


@go
def test_switched_off_nothing_goes(text: str, secret: str) -> None:
    sanitizer = Sanitizer(redact=False)
    message, input_text, _ = sanitizer.texts(text, {"password": text}, None)
    assert message == text
    assert json.loads(input_text) == {"password": text}
    assert sanitizer.exception(ValueError(text))[0] == text


@pytest.mark.parametrize("secret", ["password=hunter2hunter2", "Bearer abc123def456ghi789"])
@pytest.mark.parametrize("limit", [10, 12, 15, 18])
def test_a_cut_leaves_no_half_of_a_secret(secret: str, limit: int) -> None:
    text = f"{secret} " + "x" * 20_000
    shown = redact_head(text, limit)[:limit]
    assert "hunter" not in shown
    assert "abc123" not in shown


ADVERSARIAL = [
    "password",
    "password=",
    "a@",
    "://",
    "eyJ",
    "eyJhbGciOi.",
    "-----BEGIN PRIVATE KEY-----",
    "a",
    " ",
    "\\",
    '"',
    "authorization: ",
    "cookie=",
    "bearer ",
    "basic ",
    "key=[",
    "a.a.",
    "token:{",
]


@pytest.mark.parametrize("piece", ADVERSARIAL)
def test_time_is_linear_in_the_text(piece: str, sized: Callable[..., int]) -> None:
    """Eight times the text takes about eight times as long; a quadratic pattern takes 64 times."""
    count = sized(20_000, full=125_000) // len(piece)

    def seconds(times: int) -> float:
        text = "password token key " + piece * count * times
        started = time.process_time()
        redact_text(text)
        return time.process_time() - started

    assert seconds(8) < 24 * min(seconds(1) for _ in range(3))
