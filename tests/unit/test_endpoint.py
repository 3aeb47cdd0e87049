"""One rule for URLs, credentials and lists of headers, whoever asks and however it reports."""

import pytest

from sovdev_logger._settings.endpoint import (
    base_url,
    credential_refusal,
    is_credential,
    may_carry_credentials,
    split_http_url,
    split_pairs,
)
from sovdev_logger._settings.reader import parse_whole_number


@pytest.mark.parametrize(
    "text",
    ["", "host", "//host", "ftp://host", "http://", "http://h:0", "http://h:99999", "http://[bad"],
)
def test_what_is_not_an_http_url(text: str) -> None:
    assert split_http_url(text) is None
    with pytest.raises(
        ValueError, match=r"^the server is not usable: expected http:// or https://"
    ):
        base_url(text, "the server")


@pytest.mark.parametrize("text", ["https://u:p@host", "https://host?q=1", "https://host/#part"])
def test_paths_are_not_appended_to_a_url_with_a_user_a_query_or_a_fragment(text: str) -> None:
    assert split_http_url(text) is not None
    with pytest.raises(ValueError, match="the server is not usable") as raised:
        base_url(text, "the server")
    assert "u:p" not in str(raised.value)


def test_a_base_url_ends_without_blanks_and_slashes() -> None:
    assert base_url(" https://host:8443/logs// ", "the server") == "https://host:8443/logs"


@pytest.mark.parametrize(
    ("url", "is_sent"),
    [
        ("https://host", True),
        ("HTTPS://host", True),
        ("http://localhost:4318", True),
        ("http://[::1]:4318", True),
        ("http://host", False),
        ("http://10.0.0.1", False),
    ],
)
def test_a_credential_travels_over_tls_or_within_this_machine(url: str, is_sent: bool) -> None:
    refusal = credential_refusal("the key", url, trusted_network=False)
    assert (refusal is None) is is_sent
    assert is_sent or refusal == (
        f"the key is not sent to {url}: a credential does not travel without TLS; use https://, "
        "or set SOVDEV_TRUSTED_NETWORK=on if you trust the network"
    )
    assert credential_refusal("the key", url, trusted_network=True) is None


def test_a_refusal_shows_neither_a_password_nor_a_query() -> None:
    refusal = credential_refusal("the key", "http://u:p4ss@host:1/?k=s3", trusted_network=False)
    assert refusal is not None
    assert "not sent to http://host:1:" in refusal
    assert "p4ss" not in refusal
    assert "s3" not in refusal


def test_a_connection_without_tls_to_nobody_carries_no_credential() -> None:
    assert may_carry_credentials(tls=True)
    assert not may_carry_credentials(tls=False)


@pytest.mark.parametrize(
    ("header", "expected"),
    [("Authorization", True), ("X-Api-Key", True), ("Set-Cookie", True), ("Host", False)],
)
def test_headers_that_are_credentials_say_so(header: str, expected: bool) -> None:
    assert is_credential(header) is expected


def test_a_list_of_pairs_is_split_and_each_bad_part_is_reported() -> None:
    problems: list[None] = []
    pairs = split_pairs(
        " a = 1 ,b=x=y,, no-equals,=2,c=", str.isascii, lambda: problems.append(None)
    )
    assert pairs == {"a": "1", "b": "x=y", "c": ""}
    assert len(problems) == 2
    assert split_pairs("å=1", str.isascii, lambda: problems.append(None)) == {}
    assert len(problems) == 3


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("07", 7),
        ("9", 9),
        ("0", None),
        ("10", None),
        ("-1", None),
        ("+1", None),
        ("1.0", None),
        ("1_0", None),
        ("٣", None),
        ("", None),
        ("9" * 5000, None),
    ],
)
def test_a_whole_number_is_ascii_digits_within_bounds(text: str, number: int | None) -> None:
    assert parse_whole_number(text, 1, 9) == number
