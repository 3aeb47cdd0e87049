"""Every variable that the library reads, for checks and for the documentation."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any, Final

from sovdev_logger._settings import (
    delivery,
    endpoint,
    logwell,
    otlp,
    profile,
    redaction,
    relay,
    sampling,
    service,
)
from sovdev_logger._settings.reader import Variable

MODULES: Final = (service, redaction, delivery, endpoint, sampling, relay, logwell, profile, otlp)


def declared_in(module: ModuleType) -> Iterator[Variable[Any]]:
    """Yield the variables that a module declares, in its order."""
    for value in vars(module).values():
        if isinstance(value, Variable):
            yield value
        elif (
            isinstance(value, type) and is_dataclass(value) and value.__module__ == module.__name__
        ):
            yield from (
                item.metadata["variable"] for item in fields(value) if "variable" in item.metadata
            )


def variable_names() -> frozenset[str]:
    """Return the names of all variables."""
    return frozenset(variable.name for module in MODULES for variable in declared_in(module))
