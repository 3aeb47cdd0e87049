"""Servers: their URLs, headers and TLS, and when a credential may travel to them."""

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from sovdev_logger._settings.reader import FLAG, EnvironmentReader, Kind, Variable

DEFAULT_TIMEOUT_SECONDS: Final = 10.0
BASE_URL: Final = Kind("http:// or https://, a host, and perhaps a port and a path", str)
TRUSTED_NETWORK: Final = Variable("SOVDEV_TRUSTED_NETWORK", FLAG, False)
"""``on``: credentials for OTLP, LipService and Logwell also go over plain ``http://`` to other
machines; never those for a relay."""

_CREDENTIAL_WORDS: Final = ("auth", "key", "token", "secret", "cookie", "password", "credential")


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """Where one signal is posted to, with everything that the request needs."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    gzip: bool = False
    ca_file: str | None = None
    client_cert_file: str | None = None
    client_key_file: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """The variables that its fields are read from, by the field's name."""


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """The files and the name of a TLS connection; without a CA the system's are trusted."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None


def split_http_url(text: str) -> SplitResult | None:
    """Return the parts of an HTTP or HTTPS URL with a host, None for anything else."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def base_url(text: str, what: str) -> str:
    """Return the URL that paths are appended to, without a slash at its end.

    Args:
        text: The URL, as a user wrote it.
        what: Its name in the error, such as ``"the endpoint of Logwell"``.

    Raises:
        ValueError: It is not one, or it has a user, a query or a fragment.
    """
    url = text.strip().rstrip("/")
    parts = split_http_url(url)
    if parts is None or parts.username or parts.query or parts.fragment:
        raise ValueError(f"{what} is not usable: expected {BASE_URL.expected}")
    return url


def is_network_trusted(env: EnvironmentReader, trusted_network: object = None) -> bool:
    """Return whether credentials may go to other machines without TLS.

    Args:
        env: Says so where the argument is None.
        trusted_network: A client's argument.

    Raises:
        TypeError: The argument is not a bool or None.
    """
    if trusted_network is None:
        return env.read(TRUSTED_NETWORK)
    if not isinstance(trusted_network, bool):
        raise TypeError(
            f"trusted_network must be a bool or None, not {type(trusted_network).__name__}"
        )
    return trusted_network


def unusable_tls_file(endpoint: HttpEndpoint) -> str | None:
    """Return which file of a TLS connection cannot be read, with its variable; None for none."""
    if urlsplit(endpoint.url).scheme != "https":
        return None
    for name in ("ca_file", "client_cert_file", "client_key_file"):
        path: str | None = getattr(endpoint, name)
        problem = path and _reading_problem(Path(path))
        if problem:
            return f"{endpoint.variables.get(name, name)}={path!r} is not usable: {problem}"
    return None


def _reading_problem(path: Path) -> str | None:
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return "it is a folder"
    except OSError as error:
        return error.strerror
    # Not opened: it may be a pipe, as that of a shell's <(...).
    return None if os.access(path, os.R_OK) else "this user may not read it"


def may_carry_credentials(*, tls: bool, host: str = "", trusted_network: bool = False) -> bool:
    """Return whether a connection may carry credentials.

    Args:
        tls: Whether it has TLS.
        host: The other end; a host on this machine needs no TLS.
        trusted_network: Whether other machines need none either.
    """
    return tls or trusted_network or is_loopback(host)


def credential_refusal(credential: str, url: str, *, trusted_network: bool) -> str | None:
    """Return why ``credential`` is not sent to ``url``, with the remedy; None when it may be."""
    parts = urlsplit(url)
    tls, host = parts.scheme == "https", parts.hostname or ""
    if may_carry_credentials(tls=tls, host=host, trusted_network=trusted_network):
        return None
    server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return (
        f"{credential} is not sent to {server}: a credential does not travel without TLS; use "
        f"https://, or set {TRUSTED_NETWORK.name}=on if you trust the network"
    )


def is_loopback(host: str) -> bool:
    """Return whether ``host`` is this machine, by name or by address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_credential(header: str) -> bool:
    """Return whether a header's name says that its value is a credential."""
    return any(word in header.lower() for word in _CREDENTIAL_WORDS)


def credentials_among(headers: Iterable[str]) -> list[str]:
    """Return the names of those headers that are credentials, sorted."""
    return sorted(filter(is_credential, headers))


def split_pairs(
    text: str, is_usable: Callable[[str], bool], on_problem: Callable[[], object]
) -> dict[str, str]:
    """Return the pairs of ``name=value,name=value``, without surrounding blanks.

    Args:
        text: The list; empty parts are skipped.
        is_usable: Whether a part may be used, beside having a name and an equals sign.
        on_problem: Called for each part that may not.
    """
    pairs: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if equals and name.strip() and is_usable(part):
            pairs[name.strip()] = value.strip()
        elif part.strip():
            on_problem()
    return pairs
