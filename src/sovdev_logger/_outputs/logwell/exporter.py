"""Logwell over HTTP: ingest requests, and the meaning of their answers."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from sovdev_logger._delivery.http_transport import HttpExporter, HttpResult, HttpTransport
from sovdev_logger._delivery.results import SendResult
from sovdev_logger._delivery.verdict import TURNED_AWAY_PAUSE_SECONDS, judge_failure
from sovdev_logger._settings.endpoint import HttpEndpoint
from sovdev_logger._settings.logwell import MAX_BATCH_SIZE, LogwellSettings

MAX_REQUEST_BYTES: Final = 480_000
"""Below the server's 524,288, which it may count differently."""

MAX_IDLE_SECONDS: Final = 5.0
"""The server closes a connection after 10 idle seconds, without notice."""

RATE_LIMIT_PAUSE_SECONDS: Final = 10.0
"""Its limit refills ten requests a second, although it always asks for a minute."""

_RATE_LIMITED: Final = 429
_SERVER_ERROR: Final = 500
_OK: Final = 200
_HEALTH_TIMEOUT_SECONDS: Final = 5.0
_SHOWN_CHARACTERS: Final = 120

NOT_LOGWELL: Final = "the answer is not Logwell's"


class LogwellExporter(HttpExporter):
    """Posts records, at most 100 and 480,000 bytes at a time.

    A 500 may be an outage, a deadlock or a record that the server cannot store. If a batch keeps
    getting it while the health check passes, it is treated as rejected and bisected to find the
    record.

    Args:
        settings: Where the server is, and how often a batch may fail before its health is checked.
        uniform: Chooses between two bounds; a test puts its own in place.

    Attributes:
        last_answer: How the server answered the last request.
    """

    context: Final = b""
    suffix: Final = ".json"
    advice: str = "Check LOGWELL_ENDPOINT and LOGWELL_API_KEY."

    def __init__(
        self,
        settings: LogwellSettings,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        super().__init__(logwell_transport(settings))
        self._max_retries = settings.max_retries
        self._health_path = f"{urlsplit(settings.url).path}/api/health"
        self._uniform = uniform
        self.last_answer: HttpResult | None = None
        self._failing: bytes | None = None
        self._failures = 0

    def body(self, items: Sequence[bytes], context: bytes) -> bytes:  # noqa: ARG002
        """Return the request for some records."""
        return b"[" + b",".join(items) + b"]"

    def send(self, items: Sequence[bytes], context: bytes, timeout_seconds: float) -> SendResult:
        """Send records as one request."""
        body = self.body(items, context)
        if len(items) > MAX_BATCH_SIZE or len(body) > MAX_REQUEST_BYTES:
            return SendResult(payload_rejected=True, reason="more than fits in a request")
        answer = self.last_answer = self._transport.post(body, timeout_seconds)
        if answer.status == _OK:
            return _accepted(answer, len(items))
        reason = answer.error or _reason(answer)
        if answer.status == _SERVER_ERROR and self._is_payload_to_blame(items[0]):
            return SendResult(payload_rejected=True, reason=reason)
        if answer.status == _RATE_LIMITED:
            pause = self._rate_limit_pause(answer.retry_after_seconds)
            answer = replace(answer, retry_after_seconds=pause)
        return judge_failure(answer, reason)

    def _rate_limit_pause(self, retry_after_seconds: float | None) -> float:
        pause = min(retry_after_seconds or RATE_LIMIT_PAUSE_SECONDS, RATE_LIMIT_PAUSE_SECONDS)
        return pause * self._uniform(0.5, 1.0)

    def _is_payload_to_blame(self, first: bytes) -> bool:
        """Return whether the batch with this first record keeps failing on a healthy server."""
        if first != self._failing:
            self._failing, self._failures = first, 0
        self._failures += 1
        if self._failures <= self._max_retries:
            return False
        self._failures = 0
        health = self._transport.send(
            "GET", self._health_path, timeout_seconds=_HEALTH_TIMEOUT_SECONDS
        )
        return health.status == _OK and _json(health).get("status") == "healthy"


def logwell_transport(settings: LogwellSettings) -> HttpTransport:
    """Return a connection to the ingest path of a server."""
    target = HttpEndpoint(
        f"{settings.url}/v1/ingest",
        {"Authorization": f"Bearer {settings.api_key}"},
        settings.timeout_seconds,
        variables={"url": "LOGWELL_ENDPOINT"},
    )
    return HttpTransport(target, "application/json", max_idle_seconds=MAX_IDLE_SECONDS)


def _accepted(answer: HttpResult, count: int) -> SendResult:
    fields = _json(answer)
    accepted, rejected = fields.get("accepted"), fields.get("rejected", 0)
    if type(accepted) is not int or type(rejected) is not int:
        # A proxy's page must not count as delivery.
        return SendResult(
            retryable=True, retry_after_seconds=TURNED_AWAY_PAUSE_SECONDS, reason=NOT_LOGWELL
        )
    # Whatever it counts: no more than it was sent, and what it does not claim to have is rejected.
    delivered = max(0, min(accepted, count - max(0, rejected)))
    errors = fields.get("errors")
    reason = str(errors[0])[:_SHOWN_CHARACTERS] if isinstance(errors, list) and errors else None
    return SendResult(
        delivered=delivered,
        rejected_count=count - delivered,
        reason=(reason or "rejected") if delivered < count else None,
    )


def _reason(answer: HttpResult) -> str:
    code = _json(answer).get("error")
    return f"HTTP {answer.status}{f' {code}' if isinstance(code, str) else ''}"[:_SHOWN_CHARACTERS]


def _json(answer: HttpResult) -> dict[str, Any]:
    try:
        fields = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}
