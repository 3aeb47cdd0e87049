"""structlog, Loguru and stdlib loggers, all in the outputs of one service.

pip install "sovdev-logger[structlog,loguru]"
python examples/other_loggers.py
"""

import logging

import structlog
from loguru import logger

import sovdev_logger as log
from sovdev_logger.integrations.loguru import sovdev_loguru_sink
from sovdev_logger.integrations.structlog import sovdev_processor

log.sovdev_initialize("orders")
log.sovdev_capture_logging()
structlog.configure(processors=[structlog.contextvars.merge_contextvars, sovdev_processor])
logger.remove()
logger.add(sovdev_loguru_sink)

logging.getLogger("stock").warning("by stdlib", extra={"left": 3})
structlog.get_logger().info("by structlog", order=17)
logger.bind(order=17).info("by Loguru")
