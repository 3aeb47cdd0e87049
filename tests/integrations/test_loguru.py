"""Loguru's own logger in a service with a profile, over OTLP and in metrics."""

from pathlib import Path

from support.otlp_receiver import OtlpReceiver
from support.processes import run

BODY = """
import sovdev_logger as log
from loguru import logger
log.sovdev_initialize_environment()
logger.bind(order=17, token="t0psecret").warning("from {}", "loguru")
log.sovdev_log("info", "f", "from sovdev", None)
try:
    1 / 0
except ZeroDivisionError:
    logger.exception("failed")
log.sovdev_flush()
found = log.sovdev_status().outputs
print({name: one.logged for name, one in found.items() if "otlp_logs" in name or name == "loguru"})
"""


def test_it_reaches_otlp_and_metrics_once(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        out, _ = run(
            tmp_path,
            BODY,
            NAME_APP="orders",
            RUN_ENVIRONMENT="production",
            PATH_TO_LOGS=str(tmp_path),
            LOG_FILE_PATH="",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        )
        assert receiver.messages() == ["from loguru", "from sovdev", "failed", "orders ends"]
        counted = receiver.metrics()["sovdev_operations_total"]
        assert sum(point for _, point in counted) == 4
    assert out == "{'otlp_logs': 3, 'loguru': 1}\n"
    said = (tmp_path / "orders.log").read_text(encoding="utf-8")
    assert said.count("from loguru") == said.count("from sovdev") == 1
    assert not (tmp_path / "dev.log").exists()
