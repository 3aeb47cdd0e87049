"""The LipService client: fetches the policy and reports patterns, in a thread of its own.

What leaves the process is hashes of patterns and counts. Nothing here waits, logs or raises in a
caller's thread.
"""

import json
import random
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final
from urllib.parse import quote, urlsplit

from sovdev_logger._delivery.backoff import Backoff
from sovdev_logger._delivery.http_transport import HttpResult, HttpTransport
from sovdev_logger._delivery.results import FlushResult
from sovdev_logger._delivery.worker_thread import FlushRequest, Message, Stop, WorkerThread, receive
from sovdev_logger._runtime.fork import Phase, register_for_fork
from sovdev_logger._runtime.selflog import warn_once, warn_throttled
from sovdev_logger._safety.json_encoding import dumps
from sovdev_logger._safety.one_line import notice_line
from sovdev_logger._sampling.policy import Policy, PolicyError, parse_policy
from sovdev_logger._sampling.sampler import Report, Sampler
from sovdev_logger._settings.endpoint import HttpEndpoint
from sovdev_logger._settings.sampling import INT32_MAX, MAX_NAME_CHARACTERS, LipServiceSettings

JITTER: Final = 0.1

_BASE_BACKOFF_SECONDS: Final = 5.0
_MAX_POLICY_BYTES: Final = 8 * 1024 * 1024
_SHOWN_CHARACTERS: Final = 400
_NOT_FOUND: Final = 404
_REDIRECTS_AND_REFUSALS: Final = range(300, 500)
_UNAVAILABLE: Final = 503


class LipServiceClient:
    """Keeps one sampler's policy up to date, and reports its patterns to the server.

    One daemon thread does both. It starts with ``start``, and in a forked child with the child's
    first entry. Failed requests are repeated after a backoff with jitter; until then the last
    policy applies. A report is not idempotent: its counts are sent again only if the server surely
    did not accept them (specification: sampling, LipService).

    Args:
        settings: Where the server is, and the intervals.
        service_name: The service's name there.
        sampler: Receives the policy and provides the counts.
        uniform: Returns a random number between two bounds; tests pass their own.

    Attributes:
        requests_failed: Number of requests without the expected answer.
        reports_uncertain: Number of reports sent without an answer, which may be lost.
        last_error: A description of the last failure; None without any.
        has_policy: Whether the server has sent one.
    """

    def __init__(
        self,
        settings: LipServiceSettings,
        service_name: str,
        sampler: Sampler,
        uniform: Callable[[float, float], float] | None = None,
    ) -> None:
        self._settings = settings
        self._service_name = service_name.replace("\0", "")[:MAX_NAME_CHARACTERS]
        self._sampler = sampler
        self._uniform = uniform or random.Random().uniform  # noqa: S311 - jitter is not secret
        self._transport = _transport_to(settings)
        self.requests_failed = 0
        self.reports_uncertain = 0
        self.last_error: str | None = None
        self.has_policy = False
        self._is_registered = False
        self._is_fetching = False
        self._is_closed = False
        self._report_deadline: float | None = None
        self._make_worker()
        sampler.on_new_pattern = self.start
        register_for_fork(Phase.LIPSERVICE_CLIENTS, self)
        if "/" in self._service_name:
            warn_once(
                "lipservice:name",
                f"LipService has no policies for names with a slash, such as {service_name!r}: "
                "patterns are reported, and the rates are those without a policy.",
            )

    def start(self) -> None:
        """Start the thread, unless it runs; it fetches the policy first."""
        if not self._is_closed:
            self._worker.ensure_started()

    def begin_close(self, deadline: float) -> None:
        """Have the last report sent by ``deadline``, a time of the monotonic clock."""
        self._report_deadline = deadline
        self._is_closed = True
        self._worker.channel.put(Stop())
        if self._is_fetching:  # a hanging server must not use up the time of the last report
            self._transport.abort()

    def end_close(self, deadline: float) -> None:
        """Wait for the last report, at most until the deadline."""
        if self._worker.is_running:
            self._worker.stop(deadline)

    def close(self, timeout_seconds: float) -> None:
        """Send the last report and end the thread for good; safe to repeat."""
        deadline = time.monotonic() + timeout_seconds
        self.begin_close(deadline)
        self.end_close(deadline)

    def reset_after_fork(self) -> None:
        """Drop the parent's thread and connection; the next entry starts the child's own."""
        self._transport.reset_after_fork()
        self._is_fetching = False
        self._report_deadline = None
        self.requests_failed = self.reports_uncertain = 0
        self.last_error = None
        self._make_worker()

    def _make_worker(self) -> None:
        self._worker = WorkerThread("lipservice", self._run, _no_flush)

    def _run(self, channel: SimpleQueue[Message]) -> None:
        settings = self._settings
        fetch = _Schedule(settings.policy_refresh_seconds, self._uniform, due_now=True)
        report = _Schedule(settings.pattern_report_seconds, self._uniform, due_now=False)
        while True:
            wait = min(fetch.due, report.due) - time.monotonic()
            message = receive(channel, max(0.0, wait))
            if isinstance(message, Stop):
                break
            if time.monotonic() >= fetch.due:
                fetch.reschedule(succeeded=self._try(self._fetch))
            if time.monotonic() >= report.due and not self._is_closed:
                report.reschedule(succeeded=self._try(self._report))
        remaining = (self._report_deadline or 0.0) - time.monotonic()
        if remaining > 0:
            self._try(lambda: self._report(remaining))

    def _try(self, action: Callable[[], bool]) -> bool:
        try:
            return action()
        except Exception as error:  # noqa: BLE001 - the thread must go on
            return self._fail(f"met a {type(error).__name__} in its client")

    def _fetch(self) -> bool:
        self._is_fetching = True
        answer = self._transport.send("GET", _policy_path(self._settings, self._service_name))
        self._is_fetching = False
        self._transport.close()
        if answer.status == _NOT_FOUND and not self._is_registered:
            return True  # the first report makes the service known
        if not answer.accepted:
            return self._fail("has no policy for us", answer)
        try:
            self._sampler.set_policy(_read_policy(answer))
        except PolicyError as error:
            return self._fail(f"sent a policy that is not usable: {error}")
        self.has_policy = self._is_registered = True
        return True

    def _report(self, timeout_seconds: float | None = None) -> bool:
        report = self._sampler.collect_report()
        if not report.total:
            return True
        body = dumps(self._body(report))
        path = f"{_base_path(self._settings)}/patterns/stats"
        answer = self._transport.send("POST", path, body, timeout_seconds)
        self._transport.close()
        if answer.accepted:
            self._is_registered = True
            return True
        if surely_not_accepted(answer):
            self._sampler.put_back(report)
        else:
            self.reports_uncertain += 1
        return self._fail("did not accept a report", answer)

    def _body(self, report: Report) -> dict[str, Any]:
        return {
            "service_name": self._service_name,
            "team_id": self._settings.team_id,
            "timestamp": time.time(),
            "total_logs": min(report.total, INT32_MAX),
            "unique_patterns": min(report.unique_patterns, INT32_MAX),
            "patterns": [
                {
                    "signature": pattern.signature,
                    "count": pattern.seen,
                    "sampled_count": pattern.kept,
                    "first_seen": pattern.first_seen,
                    "last_seen": pattern.last_seen,
                }
                for pattern in report.patterns
            ],
        }

    def _fail(self, what: str, answer: HttpResult | None = None) -> bool:
        self.requests_failed += 1
        why = ""
        if answer is not None:
            why = f" ({answer.error or f'HTTP {answer.status}'})"
        self.last_error = notice_line(f"LipService {what}{why}", _SHOWN_CHARACTERS)
        if self._report_deadline is None:
            warn_throttled(
                "lipservice",
                f"{self.last_error}; the last policy stays in use. Check "
                "LIPSERVICE_URL and LIPSERVICE_TEAM_ID.",
            )
        return False


def fetch_policy(settings: LipServiceSettings, service_name: str) -> Policy:
    """Fetch the policy that the server has for a service; waits for the answer.

    Raises:
        PolicyError: There is none, or it is not usable; the message says why.
    """
    transport = _transport_to(settings)
    answer = transport.send("GET", _policy_path(settings, service_name))
    transport.close()
    if not answer.accepted:
        why = answer.error or f"HTTP {answer.status}"
        raise PolicyError(f"LipService at {settings.url} has no policy for {service_name}: {why}")
    return _read_policy(answer)


def _transport_to(settings: LipServiceSettings) -> HttpTransport:
    headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
    target = HttpEndpoint(
        settings.url,
        headers,
        settings.timeout_seconds,
        variables={"url": "LIPSERVICE_URL"},
    )
    return HttpTransport(target, "application/json", _MAX_POLICY_BYTES)


def _base_path(settings: LipServiceSettings) -> str:
    return f"{urlsplit(settings.url).path}/api/v1"


def _policy_path(settings: LipServiceSettings, service_name: str) -> str:
    name = quote(service_name, safe="", errors="replace")
    return f"{_base_path(settings)}/policies/{name}?team_id={settings.team_id}"


def _read_policy(answer: HttpResult) -> Policy:
    try:
        return parse_policy(json.loads(answer.body))
    except PolicyError:
        raise
    except (ValueError, RecursionError):
        raise PolicyError("it is not JSON") from None


def surely_not_accepted(answer: HttpResult) -> bool:
    """Return whether a report that failed can be sent again without counting twice."""
    if answer.status is None:
        return not answer.was_sent
    return answer.status in _REDIRECTS_AND_REFUSALS or answer.status == _UNAVAILABLE


class _Schedule:
    """The due time of a request: at intervals with jitter, sooner after a failure.

    Attributes:
        due: The next due time, by the monotonic clock.
    """

    def __init__(
        self,
        interval_seconds: float,
        uniform: Callable[[float, float], float],
        *,
        due_now: bool,
    ) -> None:
        self._interval_seconds = interval_seconds
        self._uniform = uniform
        self._failures = 0
        base = min(_BASE_BACKOFF_SECONDS, interval_seconds)
        self._backoff = Backoff(base, interval_seconds, lambda _, high: uniform(high / 2, high))
        self.due = time.monotonic() + (0.0 if due_now else self._interval())

    def reschedule(self, *, succeeded: bool) -> None:
        """Set the next due time after an attempt."""
        self._failures = 0 if succeeded else self._failures + 1
        pause = self._backoff.delay(self._failures) if self._failures else self._interval()
        self.due = time.monotonic() + pause

    def _interval(self) -> float:
        interval = self._interval_seconds
        return interval * self._uniform(1 - JITTER, 1 + JITTER)


def _no_flush(_request: FlushRequest) -> FlushResult:
    return FlushResult()
