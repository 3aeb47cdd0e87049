"""A server in memory for senders, and checks of their ledgers."""

import threading
import time
from collections.abc import Callable, Sequence

from sovdev_logger._delivery.backoff import Backoff
from sovdev_logger._delivery.results import SendResult
from sovdev_logger._delivery.sender import BatchSender
from sovdev_logger._delivery.status import OutputStatus

NO_PAUSE = Backoff(uniform=lambda _low, _high: 0.0)
DOWN = SendResult(retryable=True, reason="connection refused")


class Server:
    """Stands in for a collector: answers as it is told, and keeps what it took."""

    context = b"ours"
    suffix = ".txt"
    advice = "Check the server."

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.batches: list[int] = []
        self.attempts = 0
        self.answers: list[SendResult | Exception | None] = []
        self.refuse: Callable[[Sequence[bytes]], bool] = lambda items: False
        self.default: SendResult | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def close(self) -> None:
        pass

    def reset_after_fork(self) -> None:
        pass

    def body(self, items: Sequence[bytes], context: bytes) -> bytes:
        return b",".join(items)

    def send(self, items: Sequence[bytes], context: bytes, timeout_seconds: float) -> SendResult:
        self.attempts += 1
        self.entered.set()
        self.gate.wait(30)
        answer = self.answers.pop(0) if self.answers else self.default
        if isinstance(answer, Exception):
            raise answer
        if answer is None and self.refuse(items):
            answer = SendResult(payload_rejected=True, reason="HTTP 400")
        if answer is None:
            answer = SendResult(delivered=len(items))
        self.taken += items[: answer.delivered]
        self.batches.append(len(items))
        return answer


def counts(sender: BatchSender) -> tuple[int, int, int, dict[str, int]]:
    """Return what was logged, delivered, queued, and dropped for which reasons."""
    status = sender.status()
    assert balance(status)
    return status.logged, status.delivered, status.queued, dict(status.dropped_by_reason)


def balance(status: OutputStatus) -> bool:
    assert status.dropped == sum(status.dropped_by_reason.values())
    fates = (status.delivered, status.queued, status.spooled, status.dropped, status.sampled_out)
    return status.logged == sum(fates) and min(fates) >= 0


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.002)
