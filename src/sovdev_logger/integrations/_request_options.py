"""The options of an application's requests, and a request independent of its framework."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Resolver = Callable[[Any], Any]
"""Returns the identities behind a request: a mapping with ``client_name``, ``service_principal``,
``acting_user``, or None. Its argument is the framework's request."""

DEFAULT_QUIET_PATHS: Final = (
    "/health",
    "/healthz",
    "/health/live",
    "/health/ready",
    "/livez",
    "/readyz",
    "/ready",
    "/live",
    "/ping",
)


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """Options for all requests of an application.

    Args:
        resolver: Returns the identities behind a request.
        quiet_paths: Paths whose successful requests are not logged, such as health checks.
        log_query: Whether the query is in the entry, credentials redacted.
        log_bodies: Whether the request's body is in the entry, up to 16 KiB, credentials redacted.
    """

    resolver: Resolver | None = None
    quiet_paths: frozenset[str] = frozenset(DEFAULT_QUIET_PATHS)
    log_query: bool = False
    log_bodies: bool = False


def request_options(
    resolver: Resolver | None,
    quiet_paths: Iterable[str],
    *,
    log_query: bool,
    log_bodies: bool,
) -> RequestOptions:
    """Return checked options.

    Raises:
        TypeError: The resolver cannot be called, or ``quiet_paths`` is one text.
    """
    if resolver is not None and not callable(resolver):
        raise TypeError(f"resolver must be a function, not {type(resolver).__name__}")
    if isinstance(quiet_paths, str):
        raise TypeError("quiet_paths must be a list of paths, not one text")
    return RequestOptions(resolver, frozenset(quiet_paths), log_query, log_bodies)


@dataclass(slots=True)
class RequestInfo:
    """A request, as a framework received it.

    Args:
        headers: By lower-case name.
    """

    method: str
    path: str
    scheme: str = "http"
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    server: tuple[str, int | None] | None = None
    client_address: str | None = None
    http_version: str | None = None
    kind: str = "http"
