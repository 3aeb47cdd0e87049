"""Stdlib loggers and structlog, brought into the outputs; and what dictConfig can name."""

import io
import logging
import logging.config
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog

import sovdev_logger as log
from sovdev_logger.integrations.structlog import sovdev_processor
from sovdev_logger.testing import Captured, capture
from support.otlp_receiver import OtlpReceiver
from support.processes import run


@pytest.fixture
def logged() -> Iterator[Captured]:
    with capture() as captured:
        yield captured


@pytest.fixture
def captured_logging(logged: Captured) -> Iterator[Captured]:
    undo = log.sovdev_capture_logging("info", exclude=["noisy"])
    yield logged
    undo()


def test_all_stdlib_loggers_are_taken(captured_logging: Captured) -> None:
    logging.getLogger("a.b").info("to %s", "b", extra={"order": 17, "password": "hunter2"})
    logging.getLogger("a.b").debug("not this")
    logging.getLogger("noisy").error("nor this")
    logging.getLogger("noisy.below").error("nor this")
    logging.getLogger("noisyish").error("but this")
    logging.getLogger("sovdev_logger.x").error("nor ours")
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger().exception("failed")
    first, second, third = captured_logging.entries
    assert (first["message"], first["level"]) == ("to b", "info")
    assert first["function_name"] == "test_all_stdlib_loggers_are_taken"
    assert first["input_json"] == {"order": 17, "password": "[REDACTED]"}
    assert second["message"] == "but this"
    assert (third["message"], third["exception_message"]) == ("failed", "boom")


def test_taking_it_back_leaves_the_root_logger_as_it_was(logged: Captured) -> None:
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    log.sovdev_capture_logging("debug")
    undo = log.sovdev_capture_logging("error")
    logging.getLogger("x").warning("too quiet")
    assert logged.entries == []
    undo()
    undo()
    assert (root.level, root.handlers) == before


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="'loud' is not a level"):
        log.sovdev_capture_logging("loud")
    with pytest.raises(TypeError, match="exclude must be a list"):
        log.sovdev_capture_logging(exclude="x")


def test_before_a_service_nothing_happens() -> None:
    undo = log.sovdev_capture_logging()
    logging.getLogger("x").warning("x")
    undo()


def test_handler_and_filter_by_dotted_path(logged: Captured) -> None:
    stream = io.StringIO()
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"ids": {"format": "%(trace_id)s %(client_name)s|%(message)s"}},
            "filters": {"ids": {"()": "sovdev_logger.integrations.stdlib.ContextFilter"}},
            "handlers": {
                "sovdev": {
                    "class": "sovdev_logger.integrations.stdlib.SovdevHandler",
                    "exclude": ["shop.noisy"],
                },
                "stream": {
                    "class": "logging.StreamHandler",
                    "formatter": "ids",
                    "filters": ["ids"],
                    "stream": stream,
                },
            },
            "loggers": {"shop": {"handlers": ["sovdev", "stream"], "level": "INFO"}},
        }
    )
    undo = log.sovdev_capture_logging()
    try:
        log.sovdev_set_context(client_name="anna")
        with log.sovdev_start_span("work") as span:
            logging.getLogger("shop.cart").info("added")
            logging.getLogger("shop.noisy").propagate = True
    finally:
        undo()
        logging.getLogger("shop").handlers.clear()
        logging.getLogger("shop").setLevel(logging.NOTSET)
    assert stream.getvalue() == f"{span.trace_id} anna|added\n"
    (entry,) = logged.entries
    assert (entry["message"], entry["client_name"]) == ("added", "anna")


def test_there_is_no_loop_through_the_client_that_sends(tmp_path: object) -> None:
    body = """
    import logging
    import sovdev_logger as log
    log.sovdev_initialize("orders")
    log.sovdev_capture_logging("debug")
    logging.getLogger("urllib3").setLevel("DEBUG")
    for number in range(3):
        logging.getLogger("x").warning("x %d", number)
        log.sovdev_flush()
    """
    with OtlpReceiver() as receiver:
        run(tmp_path, body, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)  # type: ignore[arg-type]
        assert receiver.messages() == ["x 0", "x 1", "x 2"]


# structlog


@pytest.fixture
def chain() -> Iterator[None]:
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, sovdev_processor])
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("chain")
def test_structlog_makes_entries(logged: Captured) -> None:
    logger = structlog.get_logger().bind(order=17, token="t0psecret", name="clash")
    logger.warning("late", minutes=5)
    try:
        raise ValueError("boom")
    except ValueError as error:
        logger.exception("failed")
        logger.error("given", exc_info=error)
    logger.info("plain %s", exc_info=False)
    first, second, third, fourth = logged.entries
    assert (first["message"], first["level"]) == ("late", "warn")
    assert first["function_name"] == "test_structlog_makes_entries"
    assert first["input_json"] == {
        "order": 17,
        "token": "[REDACTED]",
        "extra_name": "clash",
        "minutes": 5,
    }
    assert (second["level"], second["exception_message"]) == ("error", "boom")
    assert third["exception_message"] == "boom"
    assert fourth["message"] == "plain %s"
    assert fourth.get("exception_message") is None


# Outgoing calls and work handed on


def test_a_span_as_block_and_decorator(logged: Captured) -> None:
    @log.sovdev_span("decorated")
    def work(number: int) -> int:
        log.sovdev_log("info", "work", f"in {number}", None)
        return number if number < 2 else work(number - 1)

    with log.sovdev_span("outer") as outer:
        assert work(3) == 1
    log.sovdev_log("info", "f", "outside", None)
    inside = logged.entries[:-1]
    assert {entry["trace_id"] for entry in inside} == {outer.trace_id}
    assert len({entry["span_id"] for entry in inside}) == 3
    assert "span_id" not in logged.entries[-1]


def test_async_spans_end_with_their_exception(logged: Captured) -> None:
    import asyncio

    @log.sovdev_span("decorated")
    async def work() -> None:
        async with log.sovdev_span("inner", peer_service="BRREG"):
            await asyncio.sleep(0)
            log.sovdev_log("info", "work", "inside", None)
            raise ValueError("boom")

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(ValueError, match="boom"):
                await work()
        log.sovdev_log("info", "f", "outside", None)

    asyncio.run(main())
    assert len({entry["trace_id"] for entry in logged.entries}) == 3
    assert "span_id" not in logged.entries[-1]


def test_headers_tell_the_active_span() -> None:
    assert log.sovdev_inject_headers({"a": "b"}) == {"a": "b"}
    with capture(), log.sovdev_span("work") as span:
        headers = log.sovdev_inject_headers({"a": "b"})
    assert headers["traceparent"].startswith(f"00-{span.trace_id}-{span.span_id}-")
    with pytest.raises(RuntimeError, match="sovdev_span was called before"):
        log.sovdev_span("x").__enter__()


def test_context_is_carried_into_threads(logged: Captured) -> None:
    def work(number: int) -> None:
        log.sovdev_log("info", "work", str(number), None)
        log.sovdev_set_context(client_name="changed inside")

    log.sovdev_set_context(client_name="anna")
    with log.sovdev_span("outer") as span, ThreadPoolExecutor(3) as pool:
        list(pool.map(log.sovdev_carry(work), range(20)))
        thread = threading.Thread(target=work, args=(99,))
        thread.start()
        thread.join()
    carried = [entry for entry in logged.entries if entry["message"] != "99"]
    assert {entry["client_name"] for entry in carried} == {"anna"}
    assert {entry["trace_id"] for entry in carried} == {span.trace_id}
    assert logged.one(message="99").get("client_name") is None
