"""The pattern of a message: values go, words stay, and the time is linear."""

# ruff: noqa: RUF001, S108, S324
import base64
import random
import string
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import md5
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovdev_logger._sampling import masking
from sovdev_logger._sampling.signature import MAX_CHARACTERS, pattern_of, signature_of

PATTERNS = {
    "": "",
    "User 123 logged in": "User N logged in",
    "  User   123\tlogged\n in ": "User N logged in",
    "user 123 LOGGED in": "user N LOGGED in",
    "Request 550e8400-e29b-41d4-a716-446655440000 done": "Request UUID done",
    "job_550e8400-e29b-41d4-a716-446655440000.txt": "job_UUID.txt",
    "Request 550E8400E29B41D4A716446655440000 done": "Request HEXID done",
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8 pushed": "commit HEXID pushed",
    "commit 9fceb02 pushed": "commit N pushed",
    "commit 1234567 pushed": "commit N pushed",
    "commit abcdefa pushed": "commit N pushed",
    "trace 4bf92f3577b34da6 span 00f067aa0ba902b7": "trace N span N",
    "ptr=0x7ffde4a1 freed": "ptr=N freed",
    "delta -42 applied": "delta N applied",
    "from 3-5 x=-3": "from N-N x=N",
    "retry 1e-5 x1.5 5ms 10MB 99%": "retry N xN DURATION SIZE N%",
    "took 1h30m": "took DURATION",
    "worker-12 job_34 v2 node7": "worker-N job_N vN nodeN",
    "at 2025-01-09T10:30:00.123456Z": "at TIMESTAMP",
    "at 2025-01-09T10:30:00+02:00": "at TIMESTAMP",
    "on 2025-01-09 at 10:30:45": "on DATE at TIME",
    "on 2025-01-09 10:30:45,123": "on TIMESTAMP",
    "at 20250109T103000Z, 12/11/2024 or 12.11.2024 or 2024/11/12": (
        "at TIMESTAMP, DATE or DATE or DATE"
    ),
    "[09/Jan/2025:10:30:00]": "[TIMESTAMP]",
    "Connection from 192.168.1.1:8080": "Connection from IP:N",
    "peer 2001:db8::ff00:42:8329 up": "peer IP up",
    "peer [fe80::1%eth0]:80, ::1 and ::ffff:1.2.3.4": "peer [IP]:N, IP and IP",
    "std::vector abc::def": "std::vector abc::def",
    "mac aa:bb:cc:dd:ee:ff 00-11-22-33-44-55": "mac MAC MAC",
    "version 1.2.3.4 and v1.2.3": "version VERSION and vVERSION",
    "Version: 1.2.3.4": "Version: VERSION",
    "mail to Jane.Doe+x@mail.example.co.uk now": "mail to EMAIL now",
    "GET https://api.example.com/v1/users/42?x=1 200": "GET URL N",
    "see (https://a.example/b), then HTTP://x.y/z.": "see (URL), then URL.",
    "open ftp://x/y ws://host:80/z": "open URL URL",
    "open /var/log/app-17/err.log failed": "open PATH failed",
    "open C:\\Users\\joe\\17\\a.txt failed": "open PATH failed",
    "in src/app/main.py:17 and/or 3/10": "in PATH:N and/or N/N",
    "at /": "at /",
    "café 42 – größe 7": "café N – größe N",
    "числo ٤٢ и १२": "числo N и N",
    "日本42件 N": "日本N件 N",
    "ids [1, 2, 3] and (4,5,6) and [7]": "ids [N] and (N) and [N]",
    "'quoted' name": "QUOTED name",
    'the "two words" of `three of them`': "the QUOTED of QUOTED",
    "don't touch the users' things": "don't touch the users' things",
    '{"status": "ok", "user": 5}': '{"status": QUOTED, "user": N}',
}


@pytest.mark.parametrize("message", PATTERNS)
def test_the_pattern_of(message: str) -> None:
    assert pattern_of(message) == PATTERNS[message]
    assert signature_of(message) == md5(PATTERNS[message].encode()).hexdigest()


def test_the_promise_to_users() -> None:
    published = "1a1c3b94e8102ab1a090fe23b620e051"
    assert signature_of("User 123 logged in") == signature_of("User 456 logged in") == published


def hex_digits(chance: random.Random, count: int) -> str:
    return "".join(chance.choices("0123456789abcdef", k=count))


def letters(chance: random.Random, count: int) -> str:
    return "".join(chance.choices(string.ascii_letters, k=count))


def moment(chance: random.Random) -> datetime:
    return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=chance.randrange(10**15))


def path_of(chance: random.Random) -> str:
    return f"/{letters(chance, 4)}/{letters(chance, 9)}{chance.choice(('.txt', '', '/'))}"


KINDS: dict[str, Callable[[random.Random], str]] = {
    "UUID": lambda r: str(uuid.UUID(int=r.getrandbits(128))),
    "40 hex": lambda r: hex_digits(r, 40),
    "URL": lambda r: f"https://{letters(r, 6)}.example/{letters(r, 9)}?q={r.randrange(99)}",
    "e-mail": lambda r: f"{letters(r, 5)}.{letters(r, 6)}@{letters(r, 7)}.example",
    "IPv4 and port": lambda r: f"{IPv4Address(r.getrandbits(32))}:{r.randrange(65536)}",
    "d/m/y": lambda r: f"{r.randrange(1, 29)}/{r.randrange(1, 13)}/{r.randrange(1990, 2030)}",
    "signed": lambda r: str(r.randrange(-500, 500)),
    "ISO with micros": lambda r: moment(r).isoformat().replace("+00:00", "Z"),
    "ISO with zone": lambda r: f"{moment(r):%Y-%m-%dT%H:%M:%S}+0{r.randrange(9)}:00",
    "ISO with blank": lambda r: f"{moment(r):%Y-%m-%d %H:%M:%S}.{r.randrange(1000):03d}",
    "span id": lambda r: hex_digits(r, 16),
    "trace id": lambda r: hex_digits(r, 32),
    "pointer": lambda r: f"0x{r.getrandbits(32):x}",
    "commit": lambda r: hex_digits(r, 7),
    "IPv6": lambda r: str(IPv6Address(r.getrandbits(128))),
    "IPv6, mostly zero": lambda r: str(IPv6Address(r.getrandbits(32) << 96 | r.getrandbits(20))),
    "MAC": lambda r: ":".join(hex_digits(r, 2) for _ in range(6)),
    "base64": lambda r: base64.b64encode(r.randbytes(32)).decode(),
    "base64, 18 bytes": lambda r: base64.b64encode(r.randbytes(25)).decode(),
    "base64 for URLs": lambda r: base64.urlsafe_b64encode(r.randbytes(33)).decode(),
    "job": lambda r: f"job_{r.randrange(10**6)}",
    "request": lambda r: f"req-{hex_digits(r, 8)}",
    "size": lambda r: f"{r.randrange(10**4)}MB",
    "fraction of a size": lambda r: f"{r.random() * 100:.1f}KiB",
    "CJK": lambda r: f"日本{r.randrange(10**6)}件",
    "Unix path": path_of,
    "Unix path with hex": lambda r: f"/tmp/{hex_digits(r, 12)}/out.log",
    "Windows path": lambda r: f"C:\\{letters(r, 5)}\\{letters(r, 9)}.txt",
    "quoted": lambda r: f"'{letters(r, r.randrange(1, 12))}'",
    "quoted words": lambda r: f'"{letters(r, 4)} {letters(r, 5)}"',
    "milliseconds": lambda r: f"{r.random() * 100:.1f}ms",
    "duration": lambda r: f"{r.randrange(99)}{r.choice(['ns', 'us', 'µs', 'ms', 's', 'm', 'h'])}",
    "float": lambda r: str(10 ** r.uniform(-8, 3)),
    "digit list": lambda r: str([r.randrange(100) for _ in range(r.randrange(1, 13))]),
    "bare list": lambda r: ",".join(str(r.randrange(100)) for _ in range(r.randrange(1, 13))),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_messages_of_one_kind_have_one_signature(kind: str, seed: int) -> None:
    chance = random.Random(seed)
    values = [KINDS[kind](chance) for _ in range(1000)]
    assert len(set(values)) > 300
    patterns = {pattern_of(f"before {value} after") for value in values}
    assert len(patterns) == 1, sorted(patterns)[:5]
    with_equals = {pattern_of(f"value={value}, after") for value in values}
    assert len(with_equals) == 1, sorted(with_equals)[:5]


DIFFERENT = [
    ("order accepted", "order rejected"),
    ("defaced 1", "effaced 1"),
    ("added", "faded"),
    ("task_added", "task_faded"),
    ("ConcurrentModificationException", "IllegalMonitorStateException"),
    ("findUserByEmailAndStatusIn", "findUserByPhoneAndStatusIn"),
    ("my-long-service-name", "my-other-service-name"),
    ("Utf8StreamJsonParserImpl", "Utf8StreamJsonWriterImpl"),
    ("status=200", "status=500"),
    ("status 200", "status 500"),
    ("exit code 0", "exit code 137"),
    ("errno: 2", "errno: 13"),
    ("version 1.2.3.4", "peer 1.2.3.4"),
    ("version 1.2.3.4 up", "version 10.0.0.1:80 up"),
    ("and/or", "read/write"),
    ("5ms", "5MB"),
    ('{"status": 1}', '{"state": 1}'),
    ("v2 of users", "v2 of orders"),
    ("node7", "worker7"),
    ("日本42件", "日本42回"),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_words_are_different_patterns(one: str, other: str) -> None:
    assert pattern_of(one) != pattern_of(other)


LONG = 32 * 1024
ADVERSARIAL = {
    name: (piece * LONG)[:LONG]
    for name, piece in {
        "dots": "a.", "ones": "1.", "hex": "f", "at": "a@", "mail": "a.a@", "colons": "a:",
        "double colons": "f::", "dashes": "a-", "date": "1-", "slashes": "/a", "back": "\\a",
        "mixed": "a1", "base64": "aB3/", "commas": "1,", "lists": "N,", "scheme": "a+.-",
        "quotes": "'a ", "two quotes": "\"':", "blanks": " ", "exponents": "1e", "units": "5s",
        "URL": "a://", "versions": "v1.1", "surrogates": "\ud800 ", "code": "status=1",
        "equals": "=",
    }.items()
}  # fmt: skip


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_the_time_is_linear_in_the_text(name: str) -> None:
    """What is linear takes well under a second for this; what is quadratic would never end."""
    text = ADVERSARIAL[name] * 8
    joined = masking.join_neighbours(
        " ".join(masking.replace_values(token) for token in masking.replace_quoted(text).split())
    )
    assert joined is not None


def test_what_is_longer_than_the_bound_is_cut_first() -> None:
    text = ADVERSARIAL["dots"]
    assert pattern_of(text) == pattern_of(text[:MAX_CHARACTERS])


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_no_text_raises(text: str) -> None:
    assert len(signature_of(text)) == 32


WORDS = st.sampled_from(
    [*PATTERNS, "N", "UUID", "a.b", "::", "x=1", "[2]", "'x'", "5ms", "//", "-"]
)


@given(st.lists(WORDS).map(" ".join))
def test_a_pattern_is_its_own_pattern(text: str) -> None:
    pattern = pattern_of(text)
    assert pattern_of(pattern) == pattern


@given(st.lists(WORDS).map(" ".join))
def test_what_is_remembered_changes_nothing(text: str) -> None:
    from sovdev_logger._sampling.signature import _masked

    for _ in range(2):
        assert pattern_of(text) == _masked(text[:MAX_CHARACTERS])


@given(st.lists(st.sampled_from(["1", "22", "x", "a.b:c", "=", "-", ".", " ", ":", "f"])))
def test_other_digits_make_no_other_pattern(parts: list[str]) -> None:
    text = "".join(parts)
    if "code" not in text and "status" not in text:
        assert pattern_of(text.translate(str.maketrans("12", "98"))) == pattern_of(text)


def test_what_is_remembered_is_bounded() -> None:
    from sovdev_logger._sampling import signature

    for number in range(3 * signature._MAX_KNOWN):
        pattern_of(f"x{letters(random.Random(number), 8)}")
        assert len(signature._replacements) <= signature._MAX_KNOWN
        assert len(signature._by_shape) <= signature._MAX_KNOWN
