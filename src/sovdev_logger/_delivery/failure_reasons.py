"""Why a request failed: the server's own reason, and the setting that a TLS error is about."""

import json
import ssl
from http.client import BadStatusLine
from typing import Final
from urllib.parse import urlsplit

from sovdev_logger._delivery.protobuf import read_fields
from sovdev_logger._safety.one_line import notice_line
from sovdev_logger._settings.endpoint import HttpEndpoint, unusable_tls_file

SPEAKS_HTTP_2: Final = "the server speaks HTTP/2, as gRPC does, instead of HTTP/1.1"

_SHOWN_CHARACTERS: Final = 200
_JSON_FIELDS: Final = ("message", "error", "detail")
_STATUS_STARTS: Final = (b"\x08", b"\x12")
_SETTINGS_FRAME: Final = "\x04"
_EXPIRED: Final = 10
_OTHER_NAMES: Final = frozenset({62, 64})
_VERIFY_FAILED: Final = "CERTIFICATE_VERIFY_FAILED"


def server_reason(body: bytes) -> str:
    """Return the reason in the body of a refusal, on one line of at most 200 characters.

    Args:
        body: A ``google.rpc.Status``, JSON with a message, or text. A page of HTML has no reason.
    """
    text = _status_message(body)
    if text is None:
        text = _json_message(body)
    if text is None:
        text = "" if body.lstrip().startswith(b"<") else body.decode("utf-8", "replace")
    words = notice_line(text, 2 * _SHOWN_CHARACTERS)
    return words if len(words) <= _SHOWN_CHARACTERS else f"{words[: _SHOWN_CHARACTERS - 1]}…"


def _status_message(body: bytes) -> str | None:
    if not body.startswith(_STATUS_STARTS):
        return None
    try:
        message = read_fields(body).get(2, b"")
    except ValueError:
        return ""
    return message.decode("utf-8", "replace") if isinstance(message, bytes) else ""


def _json_message(body: bytes) -> str | None:
    if not body.lstrip().startswith(b"{"):
        return None
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return None
    texts = (fields.get(name) for name in _JSON_FIELDS)
    return next((text for text in texts if isinstance(text, str) and text), None)


def describe(error: Exception) -> str:
    """Return what went wrong, without the connection that urllib3 puts in front of it."""
    if _is_http_2(error):
        return SPEAKS_HTTP_2
    text, message = str(error), error.args[-1] if error.args else None
    if type(error).__module__.startswith("urllib3.") and isinstance(message, str):
        text = message.removeprefix(f"{getattr(error, 'conn', None)}: ")
    return notice_line(text or type(error).__name__, _SHOWN_CHARACTERS)


def tls_advice(error: Exception, target: HttpEndpoint) -> str | None:
    """Return what to set, or which file is not usable, where an error is about TLS."""
    if urlsplit(target.url).scheme != "https" or isinstance(error, TimeoutError):
        return None
    return unusable_tls_file(target) or _unusable_pem(target) or _advice(error, target)


def _is_http_2(error: Exception) -> bool:
    """Return whether the answer began with the settings that an HTTP/2 server sends first."""
    if isinstance(error, BadStatusLine):
        line = str(error)
        return line.startswith("\0\0") and line[3:4] == _SETTINGS_FRAME
    return "NO_APPLICATION_PROTOCOL" in str(error)  # with TLS, the two do not agree on one


def _unusable_pem(target: HttpEndpoint) -> str | None:
    """Return which certificate file has no certificate in it, with its variable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    name = target.variables.get
    try:
        if target.ca_file:
            context.load_verify_locations(target.ca_file)
    except OSError as error:
        variable = name("ca_file", "the file of authorities")
        return (
            f"{variable}={target.ca_file!r} is not usable: expected certificates as PEM ({error})"
        )
    try:
        if target.client_cert_file:
            context.load_cert_chain(
                target.client_cert_file, target.client_key_file, password=_no_password
            )
    except (OSError, ValueError) as error:
        variable = name("client_cert_file", "the client's certificate")
        key = name("client_key_file", "its key")
        return (
            f"{variable}={target.client_cert_file!r} is not usable: expected a certificate as PEM, "
            f"and its key without a password there or in {key} ({error})"
        )
    return None


def _no_password() -> bytes:
    raise ValueError("the key has a password")  # instead of a question on the terminal


def _advice(error: Exception, target: HttpEndpoint) -> str | None:
    text = str(error)
    cause = next((arg for arg in error.args if isinstance(arg, ssl.SSLError)), error)
    if isinstance(cause, ssl.SSLCertVerificationError) or _VERIFY_FAILED in text:
        code = getattr(cause, "verify_code", None)
        if code == _EXPIRED:
            return "renew the server's certificate"
        if code in _OTHER_NAMES:
            return f"use a name of the certificate in {target.variables.get('url', 'the endpoint')}"
        variable = target.variables.get("ca_file", "SSL_CERT_FILE")
        return f"set {variable} to a file with the certificate of the server's authority"
    if "WRONG_VERSION_NUMBER" in text or "HTTP_REQUEST" in text:
        url = target.variables.get("url", "the endpoint")
        return f"the server has no TLS at this port: check the port, or use http:// in {url}"
    return None
