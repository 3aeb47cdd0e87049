"""Answers to "does this output's server take it?", without logging anything."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sovdev_logger._settings.service import read_settings

DEFAULT_TIMEOUT_SECONDS: Final = 5.0

_NO_RECORDS: Final = b"[]"
_NOTHING_TO_STORE: Final = 400


@dataclass(frozen=True, slots=True)
class ConnectionResult:
    """How the server of an output answered.

    Attributes:
        output: ``logwell`` or ``relay``.
        endpoint: Where it is; None when the output is off.
        reached: Something answered.
        accepted: It is that server, and takes what we send.
        status: The HTTP status, or gRPC's code; None when there was no answer.
        message: What that means, and what to do about it.
        elapsed_seconds: How long the answer took.
    """

    output: str
    endpoint: str | None
    reached: bool
    accepted: bool
    status: int | None
    message: str
    elapsed_seconds: float = 0.0


def sovdev_test_connection(
    output: str, timeout: float = DEFAULT_TIMEOUT_SECONDS
) -> ConnectionResult:
    """Ask the server of an output whether it takes what would be sent; store nothing there.

    Args:
        output: ``logwell`` or ``relay``.
        timeout: Seconds for the answer.

    Raises:
        ValueError: There is no such output.

    Nothing is logged; works before ``sovdev_initialize``. Specification: API, diagnostics.
    """
    test = _TESTS.get(output)
    if test is None:
        raise ValueError(f"no output {output!r} can be tested: known are {', '.join(_TESTS)}")
    started = time.monotonic()
    endpoint, status, accepted, message = test(os.environ, timeout)
    return ConnectionResult(
        output=output,
        endpoint=endpoint,
        reached=status is not None,
        accepted=accepted,
        status=status,
        message=message,
        elapsed_seconds=time.monotonic() - started,
    )


_Answer = tuple[str | None, int | None, bool, str]


def _test_logwell(environ: Mapping[str, str], timeout: float) -> _Answer:
    settings = read_settings(environ)
    if settings.logwell is None:
        problems = [p.message for p in settings.problems if p.variable.startswith("LOGWELL")]
        return None, None, False, " ".join(problems) or "LOGWELL_ENDPOINT is not set: it is off."
    from sovdev_logger._outputs.logwell.exporter import logwell_transport  # noqa: PLC0415

    url = settings.logwell.url
    transport = logwell_transport(settings.logwell)
    # The key is looked at before the records are: that there are none is what is complained about.
    answer = transport.post(_NO_RECORDS, timeout)
    transport.close()
    if answer.status is None:
        return url, None, False, f"no answer: {answer.error}; check LOGWELL_ENDPOINT."
    if answer.status == _NOTHING_TO_STORE and b"validation_error" in answer.body:
        return url, answer.status, True, "reached, and the key is known."
    meanings = {
        401: "reached, but the key is not known: check LOGWELL_API_KEY.",
        429: "reached, but its rate limit is used up: try again later.",
    }
    message = meanings.get(
        answer.status,
        f"something answered HTTP {answer.status}, which is not Logwell: check LOGWELL_ENDPOINT.",
    )
    return url, answer.status, False, message


def _test_relay(environ: Mapping[str, str], timeout: float) -> _Answer:
    settings = read_settings(environ)
    if settings.relay is None:
        problems = [p.message for p in settings.problems if p.variable.startswith("RELAY")]
        return None, None, False, " ".join(problems) or "RELAY_TARGETS is not set: it is off."
    targets = ",".join(settings.relay.targets)
    try:
        from sovdev_logger._outputs.relay.exporter import try_to_open  # noqa: PLC0415
    except ImportError as error:
        return targets, None, False, f"the extra relay is missing ({error}): install it."
    answers = {one: try_to_open(one, settings.relay, timeout) for one in settings.relay.targets}
    failed = {target: answer for target, answer in answers.items() if answer is not None}
    if not failed:
        return targets, 0, True, "reached, and the stream was opened."
    told = "; ".join(f"{target}: {answer.reason}" for target, answer in failed.items())
    reached = all(answer.has_answered for answer in failed.values())
    if reached:
        message = f"reached, but turned away ({told}): check RELAY_BEARER_TOKEN and RELAY_HEADERS."
    else:
        message = f"no answer ({told}): check RELAY_TARGETS and the RELAY_TLS variables."
    status = max(answer.code for answer in failed.values()) if reached else None
    return targets, status, False, message


_TESTS: Final[dict[str, Callable[[Mapping[str, str], float], _Answer]]] = {
    "logwell": _test_logwell,
    "relay": _test_relay,
}
