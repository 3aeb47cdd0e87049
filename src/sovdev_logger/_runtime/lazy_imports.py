"""Names of a module that are imported on first use."""

import sys
from collections.abc import Mapping
from importlib import import_module


def import_name(module: str, homes: Mapping[str, str], name: str) -> object:
    """Import ``name`` into ``module`` from its home; for a module's ``__getattr__``.

    Args:
        homes: Each name's module, below this package.
    """
    if name not in homes:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"sovdev_logger.{homes[name]}"), name)
    setattr(sys.modules[module], name, value)
    return value
