"""``configure_adaptive_logging`` in an application of its own: stdlib, structlog, and neither."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from sovdev_logger import sovdev_flush, sovdev_log, sovdev_status
from sovdev_logger.sampling import (
    AdaptiveLogging,
    configure_adaptive_logging,
    get_logger,
    signature_of,
)
from support.lipservice import FakeLipService
from support.otlp_receiver import OtlpReceiver
from support.processes import run
from support.service import Started

Configure = Callable[..., AdaptiveLogging]


class Kept(logging.Handler):
    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture(autouse=True)
def structlog_as_it_was() -> Iterator[None]:
    assert not structlog.is_configured()
    yield
    structlog.reset_defaults()


@pytest.fixture
def server() -> Iterator[FakeLipService]:
    with FakeLipService() as found:
        yield found


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    """The root logger as a fresh program has it."""
    found = logging.getLogger()
    handlers, level = found.handlers[:], found.level
    found.handlers.clear()
    found.setLevel(logging.WARNING)
    yield found
    found.handlers[:] = handlers
    found.setLevel(level)


def put_pytests_handlers_aside() -> None:
    """Have the root logger as a program has it; pytest adds its handlers for each phase."""
    handlers = logging.getLogger().handlers
    handlers[:] = [one for one in handlers if type(one).__module__ != "_pytest.logging"]


@pytest.fixture
def configure(server: FakeLipService) -> Iterator[Configure]:
    made: list[AdaptiveLogging] = []

    def configure_it(**options: Any) -> AdaptiveLogging:
        put_pytests_handlers_aside()
        given = {"fallback_sample_rate": 0.0, "team_id": 7, **options}
        made.append(configure_adaptive_logging("shop", server.url, **given))
        return made[-1]

    yield configure_it
    for one in made:
        one.shutdown()


def test_the_downstream_handler_gets_what_is_kept(configure: Configure) -> None:
    kept = Kept()
    configure(downstream_handler=kept)
    logger = logging.getLogger("shop.api")
    for number in range(10):
        logger.info("User %d logged in", number)
        logger.error("failed %d", number)
    assert kept.messages == ["User 0 logged in", *(f"failed {n}" for n in range(10))]


def test_it_keeps_its_own_level_and_filters(configure: Configure) -> None:
    kept = Kept(logging.ERROR)
    kept.addFilter(lambda record: "no" not in record.getMessage())
    configure(downstream_handler=kept)
    logging.getLogger("shop").info("info")
    logging.getLogger("shop").error("no")
    logging.getLogger("shop").error("yes")
    assert kept.messages == ["yes"]


def test_without_one_the_handlers_of_the_root_logger_are_sampled(
    configure: Configure, root: logging.Logger
) -> None:
    first, second = Kept(), Kept()
    root.addHandler(first)
    root.addHandler(second)
    root.setLevel(logging.DEBUG)
    found = configure(fallback_sample_rate=0.5)
    for number in range(1000):
        logging.getLogger("shop").debug("Item %d sold", number)
    assert first.messages == second.messages, "one decision a record"
    assert 400 < len(first.messages) < 600
    status = found.status()
    assert status.kept["debug"] + status.sampled_out["debug"] == 1000
    found.shutdown()
    logging.getLogger("shop").debug("Item 1 sold")
    logging.getLogger("shop").debug("Item 2 sold")
    assert first.messages[-2:] == ["Item 1 sold", "Item 2 sold"]


def test_a_fresh_program_gets_stderr_and_its_info_entries(tmp_path: Any) -> None:
    out, err = run(
        tmp_path,
        """
        import logging
        from sovdev_logger.sampling import configure_adaptive_logging
        configure_adaptive_logging("shop", "http://127.0.0.1:9", team_id=7, use_structlog=False)
        logging.getLogger("a").info("ready")
        logging.getLogger("a").debug("not asked for")
        """,
    )
    assert out == ""
    lines = [line for line in err.splitlines() if "sovdev-logger" not in line]
    assert len(lines) == 1
    assert lines[0].endswith("INFO a ready")


def test_the_level_of_a_set_up_root_logger_is_left_alone(
    configure: Configure, root: logging.Logger
) -> None:
    root.addHandler(Kept())
    configure()
    assert root.level == logging.WARNING


def test_everything_is_as_it_was_after_the_end(configure: Configure, root: logging.Logger) -> None:
    found = configure()
    assert root.level == logging.INFO
    assert len(root.handlers) == 1
    found.shutdown()
    found.shutdown()
    assert root.level == logging.WARNING
    assert root.handlers == []
    assert not structlog.is_configured()


def test_a_second_call_replaces_the_first(
    configure: Configure, root: logging.Logger, server: FakeLipService
) -> None:
    kept = Kept()
    for _ in range(3):
        configure(downstream_handler=kept)
    logging.getLogger("shop").error("once")
    assert kept.messages == ["once"]
    assert len(kept.filters) == 1
    assert root.handlers == [kept]
    wait_for_threads("sovdev-lipservice", 1)


def wait_for_threads(name: str, count: int) -> None:
    for thread in threading.enumerate():
        if thread.name == name and count_of(name) > count:
            thread.join(0.5)
    assert count_of(name) == count


def count_of(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


def test_the_last_report_is_sent_at_the_end(configure: Configure, server: FakeLipService) -> None:
    found = configure(downstream_handler=Kept())
    for number in range(5):
        logging.getLogger("shop").info("User %d logged in", number)
    logging.getLogger("shop").error("failed")
    found.shutdown()
    assert server.total() == 6
    assert server.counts()[signature_of("User 1 logged in")] == (5, 1)


def test_the_policy_acts(configure: Configure, server: FakeLipService) -> None:
    server.set_policy("shop", severity_rates={"INFO": 1.0}, version=4)
    kept = Kept()
    found = configure(downstream_handler=kept, policy_refresh_interval=0.05)
    server.wait_for(lambda s: len(s.requests("GET")) >= 2)
    assert found.status().policy_version == 4
    for number in range(5):
        logging.getLogger("shop").info("User %d logged in", number)
    assert len(kept.records) == 5


def test_what_the_client_itself_does_is_not_logged(
    configure: Configure, server: FakeLipService, root: logging.Logger
) -> None:
    kept = Kept()
    root.addHandler(kept)
    root.setLevel(logging.DEBUG)
    configure(policy_refresh_interval=0.02, fallback_sample_rate=1.0)
    server.wait_for(lambda s: len(s.requests("GET")) >= 4)
    assert kept.messages == []
    assert server.reports == []


def test_a_handler_that_logs_and_raises_hurts_nobody(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)

    class Raises(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                raise OSError
            except OSError:
                self.handleError(record)

    configure(downstream_handler=Raises())
    for _ in range(200):
        get_logger("shop").error("x")


@pytest.mark.parametrize("size", [1, 3])
def test_the_size_of_the_table_is_a_bound(configure: Configure, size: int) -> None:
    found = configure(downstream_handler=Kept(), max_pattern_cache_size=size)
    for word in ("a", "b", "c", "d", "e"):
        logging.getLogger("shop").info(word)
    assert found.status().patterns_tracked == size


@pytest.mark.parametrize(("rate", "least", "most"), [(1.0, 999, 1000), (None, 150, 250)])
def test_what_is_kept_without_a_policy(
    configure: Configure, rate: float | None, least: int, most: int
) -> None:
    kept = Kept()
    configure(downstream_handler=kept, fallback_sample_rate=rate)
    for number in range(1000):
        logging.getLogger("shop").info("User %d logged in", number)
    assert least <= len(kept.records) <= most


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"team_id": None}, ValueError, "team_id is missing"),
        ({"team_id": "7"}, TypeError, "team_id must be an int, not str"),
        ({"team_id": 2**31}, ValueError, "team id 2147483648 is not usable"),
        ({"policy_refresh_interval": 0}, ValueError, "policy_refresh_interval must be a positive"),
        ({"pattern_report_interval": "x"}, TypeError, "pattern_report_interval must be a number"),
        ({"max_pattern_cache_size": 0}, ValueError, "max_pattern_cache_size must be at least 1"),
        ({"fallback_sample_rate": 1.5}, ValueError, "fallback_sample_rate must be from 0 to 1"),
        ({"downstream_handler": "stderr"}, TypeError, "must be a logging.Handler, not str"),
        ({"api_key": "a\nb"}, ValueError, "expected printable ASCII"),
        ({"api_key": ""}, ValueError, "api_key is blank"),
        ({"trusted_network": "on"}, TypeError, "trusted_network must be a bool or None, not str"),
    ],
)
def test_bad_arguments(
    configure: Configure, options: dict[str, Any], error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        configure(**options)


def test_the_key_goes_over_a_network_that_the_user_trusts(server: FakeLipService) -> None:
    # The address leads to this machine, but is not known as such.
    url = server.url.replace("127.0.0.1", "0.0.0.0")  # noqa: S104
    put_pytests_handlers_aside()
    with pytest.raises(ValueError, match="or set SOVDEV_TRUSTED_NETWORK=on"):
        configure_adaptive_logging("shop", url, "key-1", 7)
    adaptive = configure_adaptive_logging("shop", url, "key-1", 7, trusted_network=True)
    try:
        logging.getLogger("shop").info("x")
    finally:
        adaptive.shutdown()
    assert {one.headers["Authorization"] for one in server.seen} == {"Bearer key-1"}


@pytest.mark.parametrize(
    ("name", "url", "why"),
    [
        (" ", "http://localhost", "service_name is blank"),
        ("shop", "localhost:80", "URL of LipService is not usable"),
        ("shop", "http://u:p@localhost", "URL of LipService is not usable"),
        ("shop", "http://localhost:99999", "URL of LipService is not usable"),
    ],
)
def test_bad_names_and_urls(name: str, url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        configure_adaptive_logging(name, url, team_id=1)
    assert "u:p" not in str(raised.value)


def test_the_team_may_be_in_the_environment(
    configure: Configure, server: FakeLipService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSERVICE_TEAM_ID", "12")
    configure(team_id=None, downstream_handler=Kept())
    server.wait_for(lambda s: bool(s.seen))
    assert server.seen[0].path.endswith("team_id=12")


# structlog.


def test_events_pass_one_decision_and_reach_the_handlers(configure: Configure) -> None:
    kept = Kept()
    found = configure(downstream_handler=kept, fallback_sample_rate=0.5)
    logger = get_logger("shop.api")
    for number in range(2000):
        logger.info("order placed", order_id=number)
    assert 850 < len(kept.records) < 1150
    status = found.status()
    assert status.kept["info"] == len(kept.records)
    assert status.kept["info"] + status.sampled_out["info"] == 2000
    assert status.patterns_tracked == 1
    record = kept.records[-1]
    assert (record.getMessage(), record.name) == ("order placed", "shop.api")
    assert record.__dict__["order_id"] > 1500


def test_errors_and_exceptions_are_kept(configure: Configure) -> None:
    kept = Kept()
    configure(downstream_handler=kept)
    logger = get_logger("shop")
    for _ in range(5):
        logger.error("failed")
        try:
            raise ValueError
        except ValueError:
            logger.exception("went wrong")
            logger.info("went on", exc_info=True)
    assert len(kept.records) == 15
    assert kept.records[1].exc_info is not None


@pytest.mark.parametrize("event", [17, {"a": 1}, ValueError("x"), None, "\ud800", "%d of %s", b"x"])
def test_any_event_is_logged(configure: Configure, event: object) -> None:
    kept = Kept()
    configure(downstream_handler=kept, fallback_sample_rate=1.0)
    get_logger("shop").info(event, name="x", message="y", args=(1,), level=3)
    assert len(kept.records) == 1
    assert kept.records[0].__dict__["name_"] == "x"


def test_a_level_that_is_off_costs_no_decision(configure: Configure, root: logging.Logger) -> None:
    kept = Kept()
    found = configure(downstream_handler=kept)
    get_logger("shop").debug("x")
    assert found.status().patterns_tracked == 0


def test_a_chain_of_the_application_stays_behind_the_decision(configure: Configure) -> None:
    seen: list[dict[str, Any]] = []

    def look(_logger: object, _name: str, event_dict: Any) -> Any:
        seen.append(dict(event_dict))
        return event_dict

    kept = Kept()
    processors: list[Any] = [
        structlog.stdlib.filter_by_level,
        look,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=processors,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    found = configure(downstream_handler=kept, fallback_sample_rate=0.5)
    for number in range(500):
        get_logger("shop").info("order placed", order_id=number)
    status = found.status()
    assert status.kept["info"] == len(kept.records) == len(seen)
    assert status.kept["info"] + status.sampled_out["info"] == 500, "one decision an event"
    assert status.patterns_tracked == 1, "not one for each time stamp"
    assert kept.messages[0].startswith('{"order_id": 0, "event": "order placed"')
    assert "rate" not in kept.messages[0]
    found.shutdown()
    assert structlog.get_config()["processors"] == processors


def test_a_chain_that_prints_is_sampled_too(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    configure(downstream_handler=Kept())
    for number in range(5):
        get_logger().info("order placed", order_id=number)
    assert capsys.readouterr().out == '{"order_id": 0, "event": "order placed"}\n'


def test_structlog_can_be_left_alone(configure: Configure) -> None:
    configure(downstream_handler=Kept(), use_structlog=False)
    assert not structlog.is_configured()
    assert isinstance(get_logger("shop"), logging.Logger)


def test_without_structlog_it_is_stdlib(tmp_path: Any) -> None:
    out, _ = run(
        tmp_path,
        """
        import sys
        sys.modules["structlog"] = None
        from sovdev_logger.sampling import configure_adaptive_logging, get_logger
        configure_adaptive_logging("shop", "http://127.0.0.1:9", team_id=7)
        print(type(get_logger("a")).__name__)
        """,
    )
    assert out == "Logger\n"


# Together with a service.


def test_a_running_service_follows(
    configure: Configure, start: Callable[..., Started], server: FakeLipService
) -> None:
    with OtlpReceiver() as receiver:
        running = start(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        found = configure(downstream_handler=Kept())
        for number in range(5):
            sovdev_log("info", "f", f"User {number} logged in", None)
        sovdev_flush()
        assert receiver.messages() == ["User 0 logged in"]
        assert len(running.entries) == 5
        assert sovdev_status().sampling == found.status() or sovdev_status().sampling is not None
        found.shutdown()
        sovdev_log("info", "f", "User 6 logged in", None)
        sovdev_flush()
        assert receiver.messages()[-1] == "User 6 logged in"
        assert sovdev_status().sampling is None


def test_a_service_that_starts_later_follows_too(
    configure: Configure, start: Callable[..., Started]
) -> None:
    configure(downstream_handler=Kept())
    start()
    sovdev_log("info", "f", "x", None)
    sampling = sovdev_status().sampling
    assert sampling is not None
    assert sampling.patterns_tracked == 1


def test_what_tests_capture_is_everything(configure: Configure) -> None:
    from sovdev_logger.testing import capture

    configure(downstream_handler=Kept())
    with capture() as logged:
        for _ in range(5):
            sovdev_log("info", "f", "x", None)
    assert len(logged.entries) == 5


def test_a_service_with_settings_of_its_own_keeps_them(
    configure: Configure, start: Callable[..., Started]
) -> None:
    start(SOVDEV_SAMPLING="local")
    found = configure(downstream_handler=Kept())
    sovdev_log("info", "f", "x", None)
    assert found.status().patterns_tracked == 0
