"""The calls of the golden corpus: every kind of value, each with a name."""

import dataclasses
import datetime
import decimal
import enum
import logging
import uuid
from collections.abc import Callable
from typing import Any

from sovdev_logger import (
    sovdev_end_span,
    sovdev_log,
    sovdev_log_job_progress,
    sovdev_log_job_status,
    sovdev_set_context,
    sovdev_start_span,
)

GIVEN_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FLAT = {"organisasjonsnummer": "971277882", "attempt": 1, "cached": False, "ratio": 0.25}
ANSWER = {"navn": "DIREKTORATET FOR UTVIKLINGSSAMARBEID", "antall": 512, "ok": True, "no": None}

# A fixed file name, so that the frames of its exceptions read the same everywhere.
_FAILING = """
def outer(depth):
    if depth:
        outer(depth - 1)
    raise ValueError("no such company: token=abc123def")


def chained():
    try:
        outer(2)
    except ValueError as error:
        raise RuntimeError("lookup failed") from error


def grouped():
    raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])
"""


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Order:
    number: int
    api_key: str
    lines: list[str]


class Breaks:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def raised(name: str) -> BaseException:
    space: dict[str, Any] = {}
    exec(compile(_FAILING, "company.py", "exec"), space)  # noqa: S102 - its own text, above
    try:
        space[name](2) if name == "outer" else space[name]()
    except Exception as error:
        return error
    raise AssertionError(name)


def circular() -> dict[str, Any]:
    one: dict[str, Any] = {"a": 1}
    one["itself"] = one
    return one


def log(
    level: Any = "info",
    function: Any = "lookupCompany",
    message: Any = "Looking up a company",
    peer: Any = "BRREG",
    **more: Any,
) -> None:
    sovdev_log(level, function, message, peer, **more)


def in_a_span() -> None:
    span = sovdev_start_span("lookup", {"company": "971277882"})
    log(message="inside the span")
    log(message="inside, with its own trace", trace_id=GIVEN_TRACE)
    sovdev_end_span(span)


def with_context() -> None:
    sovdev_set_context(client_name="web", service_principal="batch", acting_user="kari")
    log(message="for somebody")
    sovdev_set_context(client_name="", service_principal="", acting_user="")


def by_plain_logging() -> None:
    logger = logging.getLogger("orders")
    logger.info("plain %s of %d", "record", 2)
    logger.warning("with extra", extra={"order": 7, "password": "hunter2"})
    try:
        raise raised("outer")
    except ValueError:
        logger.exception("plain failure")


INPUTS: dict[str, Any] = {
    "flat": FLAT,
    "empty": {},
    "nested": {"a": {"b": [1, 2, {"c": None}]}, "list": [FLAT, FLAT]},
    "text": "just text",
    "number": 42,
    "float": 1e300,
    "zero": 0,
    "false": False,
    "list": [1, "two", 3.5],
    "unicode": {"navn": "Blåbærsyltetøy 🫐", "嵌套": "値"},
    "control": {"text": 'line\nbreak\ttab \x00 nul \u2028 "quoted" \\ back'},
    "surrogate": {"text": "half \ud800 of a pair"},
    "odd keys": {1: "one", None: "none", (1, 2): "pair"},
    "not finite": {"nan": float("nan"), "inf": float("-inf"), "list": [float("inf")]},
    "null by name": {"text": "null", "null": 1},
    "big integer": {"n": 2**80, "m": -(2**63)},
    "bytes": {"raw": b"\x00\xff", "mutable": bytearray(b"abc")},
    "moments": {
        "at": datetime.datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=datetime.UTC),
        "day": datetime.date(2026, 1, 31),
        "time": datetime.time(12, 30),
        "for": datetime.timedelta(seconds=90),
    },
    "ids": {"uuid": uuid.UUID(int=7), "price": decimal.Decimal("1.10"), "colour": Colour.RED},
    "dataclass": Order(7, "k-123", ["a"]),
    "set": {"s": {3, 1, 2}, "f": frozenset({"x"})},
    "pair": {"headers": [("Authorization", "Bearer abc.def"), ("Accept", "*/*")]},
    "untracked pair": {"header": ("authorization", "hunter2")},
    "circular": circular(),
    "breaks": {"it": Breaks()},
    "large": {"text": "x" * 100_000},
    "many": {f"key{number}": number for number in range(20_000)},
    "deep": None,
    "key is a credential": {"password": "hunter2", "user": "kari"},
    "key ends with one": {"dbPassword": "hunter2", "X-Api-Key": "abc", "token_count": 3},
    "credential in text": {"note": "password=hunter2 and more"},
    "credential after a colon": {"note": "Cookie: sid=12345; theme=dark"},
    "header": {"note": "authorization: Bearer abcdefghijkl0"},
    "bearer alone": {"note": "sent Bearer abcdefghijkl0"},
    "basic alone": {"note": "sent Basic dXNlcjpwYXNzd29yZA=="},
    "url": {"url": "https://kari:hunter2@example.test/path?sig=abcdef"},
    "plain url": {"url": "https://example.test/path?page=2", "at": "12:30:45"},
    "jwt": {"note": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"},
    "known tokens": {
        "a": "AKIAABCDEFGHIJKLMNOP",
        "b": "ghp_abcdefghij0123",
        "c": "sk_live_12345678",
    },
    "option": {"argv": "run --password hunter2 --verbose"},
    "options in a list": {"argv": ["run", "--token", "abc"]},
    "element": {"xml": "<password>hunter2</password>"},
    "private key": {"pem": "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----"},
    "credential in a key": {"password=hunter2": 1, "token: abc": 2},
    "prose": {"note": "the password must be changed; session ended; basic needs; a key, a token"},
}
deep: Any = "bottom"
for _ in range(60):
    deep = [deep]
INPUTS["deep"] = deep

CALLS: dict[str, Callable[[], None]] = {
    "nothing but a message": log,
    "ordinary": lambda: log(input_json=FLAT, response_json=ANSWER),
    **{
        f"level {level}": lambda level=level: log(level=level)  # type: ignore[misc]
        for level in ("trace", "debug", "info", "warn", "error", "fatal", "WARNING", 35, "loud")
    },
    "internal": lambda: log(peer="INTERNAL"),
    "no peer": lambda: log(peer=None),
    "peer by its id": lambda: log(peer="SYS1234567"),
    "unknown peer": lambda: log(peer="NOBODY"),
    "odd peer": lambda: log(peer=["BRREG"]),
    "odd function": lambda: log(function=7),
    "empty function": lambda: log(function=""),
    "odd message": lambda: log(message={"a": 1}),
    "empty message": lambda: log(message=""),
    "message with a credential": lambda: log(message="login with password=hunter2 failed"),
    "message with colons": lambda: log(message="at 12:30: 3 of 4: done", input_json=FLAT),
    "message in unicode": lambda: log(message="Blåbær 🫐 \u0000"),
    "message with half a pair": lambda: log(message="half \udc00"),
    "long message": lambda: log(message="word " * 30_000),
    **{
        f"input, {name}": lambda value=value: log(input_json=value)  # type: ignore[misc]
        for name, value in INPUTS.items()
    },
    "response alone": lambda: log(response_json=INPUTS["nested"]),
    "response with a credential": lambda: log(input_json=FLAT, response_json={"secret": "s3"}),
    "given trace": lambda: log(trace_id=GIVEN_TRACE),
    "given trace as a UUID": lambda: log(trace_id="4BF92F35-77b3-4da6-a3ce-929d0e0e4736"),
    "given trace that is none": lambda: log(trace_id="order-7"),
    "span": in_a_span,
    "context": with_context,
    "exception": lambda: log(level="error", exception=raised("outer")),
    "chained exception": lambda: log(level="error", exception=raised("chained")),
    "exception group": lambda: log(level="error", exception=raised("grouped")),
    "exception never raised": lambda: log(level="error", exception=KeyError("x")),
    "exception as text": lambda: log(level="error", exception="it broke"),
    "exception and values": lambda: log(
        level="fatal", input_json=FLAT, response_json=ANSWER, exception=raised("chained")
    ),
    "job status": lambda: sovdev_log_job_status(
        "info", "nightly", "sync", "Started", "BRREG", {"count": 3}
    ),
    "job progress": lambda: sovdev_log_job_progress(
        "info", "nightly", "971277882", 3, 10, "BRREG", {"step": "x"}
    ),
    "plain logging": by_plain_logging,
}
