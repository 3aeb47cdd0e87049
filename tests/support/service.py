"""Starts the library in the test's process as a service would, and takes it away again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sovdev_logger import sovdev_initialize
from sovdev_logger._service.instance import instance
from sovdev_logger._service.service import Service, stop_service

Entry = dict[str, Any]


def read_lines(path: Path) -> list[Entry]:
    """Return the entries of a JSON Lines file; every line must be strict JSON."""
    if not path.exists():
        return []
    return [strict_json(line) for line in path.read_bytes().decode("utf-8").splitlines()]


def strict_json(text: str) -> Any:
    """Parse JSON without the tokens that only Python accepts."""
    return json.loads(text, parse_constant=_refuse)


def _refuse(token: str) -> None:
    raise AssertionError(f"{token} is not JSON")


class Started:
    """One running service and the files that it writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def service(self) -> Service:
        assert instance.service is not None
        return instance.service

    @property
    def log_path(self) -> Path:
        return self.folder / "dev.log"

    @property
    def entries(self) -> list[Entry]:
        return read_lines(self.log_path)

    @property
    def errors(self) -> list[Entry]:
        return read_lines(self.folder / "error.log")

    @property
    def last(self) -> Entry:
        return self.entries[-1]


def environment(folder: Path, **overrides: str) -> dict[str, str]:
    """Return the variables of a service that writes its files into ``folder``, console off."""
    return {
        "LOG_TO_CONSOLE": "false",
        "LOG_FILE_PATH": str(folder / "dev.log"),
        "ERROR_LOG_PATH": str(folder / "error.log"),
        **overrides,
    }


def start(
    folder: Path,
    name: str = "orders",
    version: str | None = None,
    peers: Mapping[str, str] | None = None,
) -> Started:
    """Initialise with the environment as it is."""
    sovdev_initialize(name, version, {"BRREG": "SYS1234567"} if peers is None else peers)
    return Started(folder)


def stop() -> None:
    """Take the service away, as if it had never been initialised."""
    service = instance.service
    if service is not None:
        stop_service(service, timeout_seconds=5)
    instance.service = None
    instance.is_initialised = False
