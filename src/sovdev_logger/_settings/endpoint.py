"""Servers: their URLs, headers and TLS, and when a credential may travel to them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from sovdev_logger._settings.reader import Kind

DEFAULT_TIMEOUT_SECONDS: Final = 10.0
BASE_URL: Final = Kind("http:// or https://, a host, and perhaps a port and a path", str)
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


def may_carry_credentials(*, tls: bool, host: str = "") -> bool:
    """Return whether a connection may carry credentials: with TLS, or to a host on this machine."""
    return tls or is_loopback(host)


def credential_refusal(credential: str, url: str) -> str | None:
    """Return why ``credential`` is not sent to ``url``, None when it may be."""
    parts = urlsplit(url)
    if may_carry_credentials(tls=parts.scheme == "https", host=parts.hostname or ""):
        return None
    return f"{credential} is not sent to {url}: a credential does not travel without TLS"


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
