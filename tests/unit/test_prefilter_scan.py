"""The scan in front of redaction: compiled or not, it flags the same, and no credential passes."""

import importlib.util
import shutil
import sys
from types import ModuleType
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovdev_logger._safety import prefilter, redaction, sanitizer
from sovdev_logger._safety.credential_patterns import KEY_OWNERS, PASS_OWNERS
from sovdev_logger._safety.prefilter import FLAGS, HAS_NULL, confirm
from sovdev_logger._safety.sanitizer import Sanitizer
from support.redaction_table import MUST_GO, MUST_STAY

needs_compiled = pytest.mark.skipif(
    "sovdev_logger._safety.prefilter_scan" not in sys.modules and shutil.which("cc") is None,
    reason="no compiler: the package is installed without its compiled part",
)
WORDS = st.sampled_from(
    [
        *(text for text, _ in MUST_GO),
        *("AKIA1234567890ABCDEF", "akia1234567890abcdef", "eyJhbGciOiJI", "AIza" + "x" * 20),
        *(f"gh{letter}_0123456789" for letter in "pousr"),
        *("github_pat_0123456789", "sk_live_01234567", "rk_test_01234567", "sk-" + "1" * 16),
        *("xoxb-01234567", "glpat-0123456789", "basic ", "BEARER", "?key=", "&sig=", "?auth="),
        *("sid", "password", "secret", "token", "api_key", "cookie", "credential", "pwd"),
        *("dbpass", "session id", "auth code", "-----BEGIN", "://u:p@", "--token"),
        *(":", "=", "</", '["', " ", "x", "æ", "nul"),
    ]
)
TEXTS = st.lists(WORDS | st.text(max_size=3), max_size=3).map("".join)


@pytest.fixture(scope="module")
def plain() -> ModuleType:
    """The module as it is where the package was installed without a compiler."""
    with mock.patch.dict(sys.modules, {"sovdev_logger._safety.prefilter_scan": None}):
        spec = importlib.util.spec_from_file_location("without_compiler", prefilter.__file__)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    assert module.scan is not prefilter.scan
    return module


@needs_compiled
@given(TEXTS, TEXTS, TEXTS)
def test_compiled_or_not_it_flags_the_same(
    plain: ModuleType, message: str, given_in: str, came_out: str
) -> None:
    texts = message, given_in.encode(), came_out.encode()
    assert prefilter.scan(*texts) == plain.scan(*texts)


@pytest.mark.parametrize("part", FLAGS)
def test_each_part_has_its_flag(plain: ModuleType, part: str) -> None:
    for written in (part, part.upper(), f"æ{part} "):
        for texts in ((written, b"", b""), ("m", written.encode(), b""), ("", b"", part.encode())):
            for scan in (prefilter.scan, plain.scan):
                assert scan(*texts) == FLAGS[part]


@pytest.mark.parametrize(("text", "_secret"), MUST_GO)
def test_every_secret_is_confirmed_wherever_it_stands(text: str, _secret: str) -> None:
    for noise in ("", "x " * 7, "æ" * 100):
        encoded = f"{noise}{text}{noise}".encode()
        assert confirm(prefilter.scan("", encoded, b""), encoded)


def names_of_credentials() -> list[str]:
    """Return each name that redaction knows, with each separator."""
    owners = ("access", "refresh", "auth", "api", "bearer", "session", "id")
    return [
        *("password", "passwords", "passwd", "passphrase", "passcode", "passord", "pwd", "sid"),
        *("secret", "secrets", "credential", "credentials", "token"),
        *(
            owner + separator + word
            for separator in ("", "_", "-", ".", " ")
            for owner, word in (
                *((owner, "tokens") for owner in owners),
                *((owner, word) for owner in KEY_OWNERS for word in ("key", "keys")),
                *((owner, "pass") for owner in PASS_OWNERS),
                *(("auth", "code"), ("authorization", "code")),
                *(("sess", "id"), ("session", "id")),
            )
        ),
    ]


@pytest.mark.parametrize(
    "form",
    ["{0}: hunter2x1", "{0}=hunter2x1", "<{0}>hunter2x1</{0}>", "{{'{0}': 'hunter2x1'}}"],
)
@pytest.mark.parametrize("suffix", ["", "_hash", " value", "1"])
def test_every_name_that_is_redacted_is_confirmed(
    monkeypatch: pytest.MonkeyPatch, form: str, suffix: str
) -> None:
    may_contain_secret = prefilter.may_contain_secret
    monkeypatch.setattr(redaction, "may_contain_secret", lambda *_: True)
    texts = [form.format(name + suffix) for name in names_of_credentials()]
    redacted = [text for text in texts if redaction.redact_text(text) != text]
    assert len(redacted) > len(texts) / 2
    assert [text for text in redacted if not may_contain_secret(text.encode())] == []


@given(TEXTS)
def test_what_is_flagged_by_any_part_is_flagged_by_the_scan(text: str) -> None:
    encoded = text.encode()
    if confirm(sum(FLAGS.values()), encoded):
        assert confirm(prefilter.scan("", encoded, b""), encoded)


def test_ordinary_text_is_not_flagged() -> None:
    url = b'{"url":"https://data.example/api/971277882?expand=address","n":[1,2]}'
    assert prefilter.scan("Looked up company 971277882: found", url, b'{"ok":true}') == 0
    assert prefilter.scan("write to bob@example.com", b"", b"") == 0
    assert prefilter.scan("", b"", b"") == 0


def test_a_null_is_flagged() -> None:
    assert prefilter.scan("m", b'{"a":1}', b"null") == HAS_NULL
    assert prefilter.scan("pwd", b"null", b"1") == HAS_NULL | FLAGS["pwd"]


@needs_compiled
def test_what_it_cannot_take_raises() -> None:
    with pytest.raises(UnicodeEncodeError):
        prefilter.scan("\ud800", b"", b"")
    for wrong in [("m", b""), (b"m", b"", b""), ("m", "", b""), ("m", b"", None)]:
        with pytest.raises(TypeError):
            prefilter.scan(*wrong)  # type: ignore[arg-type]


def test_without_a_compiler_the_outcome_is_the_same(
    plain: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [text for text, _ in MUST_GO] + MUST_STAY + ["\ud800", "null", "", "æøå"]
    calls = [(text, {"note": text, "n": None}, [text, float("nan")]) for text in values]
    with_it = [Sanitizer().texts(*call) for call in calls]
    monkeypatch.setattr(sanitizer, "scan", plain.scan)
    assert [Sanitizer().texts(*call) for call in calls] == with_it
