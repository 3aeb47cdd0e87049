"""Connection checks: whether a server accepts what would be sent; nothing is logged."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from sovdev_logger._safety.one_line import notice_line
from sovdev_logger._settings.endpoint import HttpEndpoint
from sovdev_logger._settings.otlp import SIGNALS
from sovdev_logger._settings.service import Settings, read_settings

DEFAULT_TIMEOUT_SECONDS: Final = 5.0

_OTLP_ACCEPTED: Final = frozenset({200, 202, 204})
_BAD_REQUEST: Final = 400
_OTLP_MEANINGS: Final = {
    400: "reached, but the request was refused: check that this is an OTLP endpoint.",
    401: "the credentials were not accepted: check OTEL_EXPORTER_OTLP_HEADERS.",
    403: "the credentials do not allow this: check OTEL_EXPORTER_OTLP_HEADERS.",
    404: "nothing is at this path, or the proxy needs a Host header: check the path, and "
    "Host=... in OTEL_EXPORTER_OTLP_HEADERS.",
    **dict.fromkeys(_OTLP_ACCEPTED, "reached."),
}
_LOGWELL_MEANINGS: Final = {
    401: "reached, but the key is not known: check LOGWELL_API_KEY.",
    429: "reached, but its rate limit is used up: try again later.",
}
_NO_RECORDS: Final = b"[]"


@dataclass(frozen=True, slots=True)
class ConnectionResult:
    """How a server answered.

    Attributes:
        output: ``logs``, ``metrics`` or ``traces`` (over OTLP), ``logwell`` or ``relay``.
        endpoint: Where the server is; None when the output is off.
        reached: Something answered; over OTLP: 200, 202, 204, or 400 for the empty request.
        accepted: It is such a server, and accepts what we send.
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

    @property
    def signal(self) -> str:
        """The output's name, which is the signal's over OTLP."""
        return self.output


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """The results of ``sovdev_test_otlp_connection``, one a signal."""

    logs: ConnectionResult
    metrics: ConnectionResult
    traces: ConnectionResult

    @property
    def ok(self) -> bool:
        """Whether every signal that is on was accepted, and at least one is on."""
        enabled = [result for result in (self.logs, self.metrics, self.traces) if result.endpoint]
        return bool(enabled) and all(result.accepted for result in enabled)


def sovdev_test_connection(
    output: str, timeout: float = DEFAULT_TIMEOUT_SECONDS
) -> ConnectionResult:
    """Ask the server of an output whether it accepts what would be sent; store nothing there.

    Args:
        output: ``logwell`` or ``relay``.
        timeout: Seconds for the answer.

    Raises:
        ValueError: There is no such output.

    Nothing is logged; works before ``sovdev_initialize``. Specification: API, diagnostics.
    """
    check = _CHECKS.get(output)
    if check is None:
        raise ValueError(f"no output {output!r} can be tested: known are {', '.join(_CHECKS)}")
    return _in_one_line(_timed(check, read_settings(os.environ), timeout))


def sovdev_test_otlp_connection(timeout: float = DEFAULT_TIMEOUT_SECONDS) -> ConnectionReport:
    """Send an empty request to the endpoint of each signal, and say how it answered.

    Args:
        timeout: Seconds for all of it, whatever the collectors do.

    Never raises. Nothing is logged; works before ``sovdev_initialize``.

    Specification: API, diagnostics.
    """
    settings = read_settings(os.environ)
    results = {
        signal: _no_answer(signal, endpoint and endpoint.url, "no answer within the timeout.")
        for signal in SIGNALS
        for endpoint in [getattr(settings.otlp, signal)]
    }

    def check(signal: str) -> None:
        try:
            results[signal] = _timed(partial(_check_otlp, signal), settings, timeout)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            results[signal] = replace(results[signal], message=repr(error))

    threads = [threading.Thread(target=check, args=(signal,), daemon=True) for signal in SIGNALS]
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    answers = results.copy()
    return ConnectionReport(**{signal: _in_one_line(each) for signal, each in answers.items()})


_Check = Callable[[Settings, float], ConnectionResult]


def _timed(check: _Check, settings: Settings, timeout: float) -> ConnectionResult:
    started = time.monotonic()
    result = check(settings, timeout)
    return replace(result, elapsed_seconds=time.monotonic() - started)


def _in_one_line(result: ConnectionResult) -> ConnectionResult:
    """Return a result without credentials and control characters: it quotes server and setting."""
    endpoint = result.endpoint and notice_line(result.endpoint)
    return replace(result, endpoint=endpoint, message=notice_line(result.message))


def _off(settings: Settings, output: str, variable: str) -> ConnectionResult:
    """Return the result of an output that is off, and why."""
    prefix = variable.partition("_")[0]
    problems = " ".join(
        problem.message for problem in settings.problems if problem.variable.startswith(prefix)
    )
    return _no_answer(output, None, f"off: {problems or f'{variable} is not set.'}")


def _no_answer(output: str, endpoint: str | None, message: str) -> ConnectionResult:
    return ConnectionResult(
        output, endpoint, reached=False, accepted=False, status=None, message=message
    )


# Each check imports what it needs: a service without an output has no use for it.


def _check_otlp(signal: str, settings: Settings, timeout: float) -> ConnectionResult:
    endpoint: HttpEndpoint | None = getattr(settings.otlp, signal)
    if endpoint is None:
        return _off(settings, signal, "OTEL_EXPORTER_OTLP_ENDPOINT")
    from sovdev_logger._delivery.failure_reasons import server_reason  # noqa: PLC0415
    from sovdev_logger._delivery.http_transport import HttpTransport  # noqa: PLC0415
    from sovdev_logger._outputs.otlp.exporter import no_answer_reason  # noqa: PLC0415

    url, transport = endpoint.url, HttpTransport(endpoint)
    answer = transport.post(b"", timeout)
    transport.close()
    status = answer.status
    if status is None:
        reason = no_answer_reason(answer, endpoint)
        if reason == answer.error and not answer.names_fix:
            reason += (
                f"; check the address, and that the collector at {urlsplit(url).hostname} runs"
            )
        return _no_answer(signal, url, f"no answer: {reason}.")
    accepted = status in _OTLP_ACCEPTED
    meaning = _OTLP_MEANINGS.get(status, f"answered with HTTP {status}.")
    said = server_reason(answer.body)
    return ConnectionResult(
        signal,
        url,
        reached=accepted or status == _BAD_REQUEST,
        accepted=accepted,
        status=status,
        message=f"{meaning} The server says: {said}" if said and not accepted else meaning,
    )


def _check_logwell(settings: Settings, timeout: float) -> ConnectionResult:
    if settings.logwell is None:
        return _off(settings, "logwell", "LOGWELL_ENDPOINT")
    from sovdev_logger._outputs.logwell.exporter import logwell_transport  # noqa: PLC0415

    url, transport = settings.logwell.url, logwell_transport(settings.logwell)
    # The server checks the key before the records: that there are none is its only complaint.
    answer = transport.post(_NO_RECORDS, timeout)
    transport.close()
    status = answer.status
    if status is None:
        return _no_answer("logwell", url, f"no answer: {answer.error}; check LOGWELL_ENDPOINT.")
    accepted = status == _BAD_REQUEST and b"validation_error" in answer.body
    other = f"something answered HTTP {status}, which is not Logwell: check LOGWELL_ENDPOINT."
    return ConnectionResult(
        "logwell",
        url,
        reached=True,
        accepted=accepted,
        status=status,
        message="reached, and the key is known."
        if accepted
        else _LOGWELL_MEANINGS.get(status, other),
    )


def _check_relay(settings: Settings, timeout: float) -> ConnectionResult:
    if settings.relay is None:
        return _off(settings, "relay", "RELAY_TARGETS")
    targets = ",".join(settings.relay.targets)
    try:
        from sovdev_logger._outputs.relay.exporter import (  # noqa: PLC0415
            TURNED_AWAY_CODES,
            try_to_open,
        )
    except ImportError as error:
        return _no_answer("relay", targets, f"the extra relay is missing ({error}): install it.")
    statuses = {
        target: try_to_open(target, settings.relay, timeout) for target in settings.relay.targets
    }
    failures = {target: status for target, status in statuses.items() if status is not None}
    details = "; ".join(
        f"{target}: {notice_line(str(status), 300)}" for target, status in failures.items()
    )
    codes = [status.code for status in failures.values()]
    if not TURNED_AWAY_CODES.issuperset(codes):
        advice = "check RELAY_TARGETS and the RELAY_TLS variables"
        return _no_answer("relay", targets, f"no answer ({details}): {advice}.")
    return ConnectionResult(
        "relay",
        targets,
        reached=True,
        accepted=not failures,
        status=int(max(codes, default=0)),
        message=f"reached, but turned away ({details}): check RELAY_BEARER_TOKEN and RELAY_HEADERS."
        if failures
        else "reached, and the stream was opened.",
    )


_CHECKS: Final[dict[str, _Check]] = {"logwell": _check_logwell, "relay": _check_relay}
