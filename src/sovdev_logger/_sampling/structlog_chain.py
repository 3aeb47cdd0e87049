"""Sampling before structlog's processors: one decision an event, before any work on it."""

import logging
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Final

import structlog

from sovdev_logger._entry.levels import INFO, find_level
from sovdev_logger._entry.sample_rate import NOT_SAMPLED, RATE_ATTRIBUTE
from sovdev_logger._entry.stdlib_records import RESERVED_ATTRIBUTES
from sovdev_logger._sampling.process import process_sampler

EventDict = MutableMapping[str, Any]
Processor = Callable[[Any, str, EventDict], Any]

_FOR_LOGGING: Final = ("exc_info", "stack_info", "stacklevel")


def decide(_logger: object, method_name: str, event_dict: EventDict) -> EventDict:
    """Drop an event, or let it pass with its rate; the first processor of a chain."""
    managed = process_sampler()
    if managed is None:
        return event_dict
    event = event_dict.get("event")
    level = find_level(method_name) or INFO
    exc_info = event_dict.get("exc_info")
    has_exception = method_name == "exception" or (exc_info is not None and exc_info is not False)
    rate = managed.sampler.decide(
        level,
        event if type(event) is str else type(event).__name__,
        always=has_exception or isinstance(event, BaseException),
    )
    if rate == NOT_SAMPLED:
        raise structlog.DropEvent
    event_dict[RATE_ATTRIBUTE] = rate
    return event_dict


def to_stdlib_arguments(_logger: object, _method_name: str, event_dict: EventDict) -> Any:
    """Convert an event to the arguments of a stdlib logger; the last processor of our chain."""
    event = event_dict.pop("event", "")
    for_logging = {name: event_dict.pop(name) for name in _FOR_LOGGING if name in event_dict}
    # A record's own attributes cannot be overwritten; logging would raise.
    extra = {f"{k}_" if k in RESERVED_ATTRIBUTES else k: v for k, v in event_dict.items()}
    return (event,), {**for_logging, "extra": extra}


class RatePassingProcessor:
    """Wraps the last processor of an application's chain, and passes the rate to stdlib logging."""

    def __init__(self, processor: Processor) -> None:
        self._processor = processor

    def __call__(self, logger: object, method_name: str, event_dict: EventDict) -> Any:
        """Run the processor without the rate, and set the rate on a stdlib record."""
        rate = event_dict.pop(RATE_ATTRIBUTE, None)
        rendered = self._processor(logger, method_name, event_dict)
        if rate is None or not isinstance(logger, logging.Logger):
            return rendered
        arguments: tuple[Any, ...] = ()
        keywords: dict[str, Any] = {}
        if isinstance(rendered, tuple):
            arguments, keywords = rendered
        elif isinstance(rendered, dict):
            keywords = rendered
        else:
            arguments = (rendered,)
        extra = {**(keywords.get("extra") or {}), RATE_ATTRIBUTE: rate}
        return arguments, {**keywords, "extra": extra}


def configure_structlog() -> Callable[[], None]:
    """Insert the decision before structlog's processors; return a function that removes it.

    A chain that the application has configured stays as it is, behind the decision. Otherwise
    events go to the stdlib logger of the same name, so that they reach its handlers.
    """
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                decide,
                structlog.contextvars.merge_contextvars,
                to_stdlib_arguments,
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=True,
        )
        return structlog.reset_defaults
    before = list(structlog.get_config()["processors"])
    structlog.configure(processors=list(_with_decision(before)))

    def restore() -> None:
        structlog.configure(processors=before)

    return restore


def _with_decision(processors: list[Processor]) -> Iterator[Processor]:
    ours = [processor for processor in processors if processor is not decide]
    if ours[:1] == [structlog.stdlib.filter_by_level]:
        yield ours.pop(0)
    yield decide
    yield from ours[:-1]
    if ours:
        last = ours[-1]
        yield last if isinstance(last, RatePassingProcessor) else RatePassingProcessor(last)
