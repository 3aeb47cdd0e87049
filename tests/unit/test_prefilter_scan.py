"""The one pass over an entry's text: nothing that the closer look says yes to gets by it."""

import importlib.util
import shutil
import sys
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovdev_logger._safety import prefilter, sanitizer
from sovdev_logger._safety.prefilter import HAS_NULL, MAY_BE_SECRET, may_contain_secret
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


@needs_compiled
@given(TEXTS, TEXTS, TEXTS, st.integers(-1, 4))
def test_what_a_closer_look_suspects_is_found(
    message: str, given_in: str, came_out: str, separators: int
) -> None:
    input_text, response_text = given_in.encode(), came_out.encode()
    if may_contain_secret(message.encode() + input_text + response_text, separators):
        assert prefilter.scan(message, input_text, response_text) & MAY_BE_SECRET


@needs_compiled
@pytest.mark.parametrize(("text", "_secret"), MUST_GO)
def test_every_secret_is_found_wherever_it_stands(text: str, _secret: str) -> None:
    for noise in ("", "x" * 7, "æ" * 100):
        written = f"{noise}{text}{noise}"
        encoded = written.encode()
        assert prefilter.scan(written, b"", b"") & MAY_BE_SECRET
        assert prefilter.scan("m", encoded, b"") & MAY_BE_SECRET
        assert prefilter.scan("m", b"", encoded) & MAY_BE_SECRET


@needs_compiled
def test_ordinary_text_needs_no_closer_look() -> None:
    url = b'{"url":"https://data.example/api/971277882?expand=address","n":[1,2]}'
    assert prefilter.scan("Looked up company 971277882: found", url, b'{"ok":true}') == 0
    assert prefilter.scan("write to bob@example.com", b"", b"") == 0
    assert prefilter.scan("", b"", b"") == 0


@needs_compiled
def test_a_null_is_found() -> None:
    assert prefilter.scan("m", b'{"a":1}', b"null") == HAS_NULL
    assert prefilter.scan("password", b"null", b"1") == HAS_NULL | MAY_BE_SECRET


@needs_compiled
def test_what_it_cannot_take_raises() -> None:
    with pytest.raises(UnicodeEncodeError):
        prefilter.scan("\ud800", b"", b"")
    for wrong in [("m", b""), (b"m", b"", b""), ("m", "", b""), ("m", b"", None)]:
        with pytest.raises(TypeError):
            prefilter.scan(*wrong)  # type: ignore[arg-type]


@pytest.fixture
def without_compiler(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as it is where the package was installed without a compiler."""
    monkeypatch.setitem(sys.modules, "sovdev_logger._safety.prefilter_scan", None)
    spec = importlib.util.spec_from_file_location("without_compiler", prefilter.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_a_compiler_the_outcome_is_the_same(
    without_compiler: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [text for text, _ in MUST_GO] + MUST_STAY + ["\ud800", "null", "", "æøå"]
    calls = [(text, {"note": text, "n": None}, [text, float("nan")]) for text in values]
    with_it = [Sanitizer().texts(*call) for call in calls]
    monkeypatch.setattr(sanitizer, "scan", without_compiler.scan)
    assert [Sanitizer().texts(*call) for call in calls] == with_it
