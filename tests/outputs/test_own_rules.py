"""The user's own rules of redaction hold in every output, and are counted in the status."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sovdev_logger import (
    sovdev_flush,
    sovdev_initialize,
    sovdev_log,
    sovdev_log_job_status,
    sovdev_set_context,
    sovdev_shutdown,
    sovdev_start_span,
    sovdev_status,
    sovdev_validate_config,
)
from sovdev_logger.testing import capture
from support.logwell import KEY, FakeLogwell
from support.otlp_receiver import OtlpReceiver
from support.processes import run
from support.relay import FakeRelay
from support.service import Started

Start = Callable[..., Started]

PSEUDONYM_KEY = "no output may show this key"
SECRETS = ("zq-own-key", "zq-CASE-4711", "zq-person", "zq.mail@example.no", "zq-function")
RULES = {
    "SOVDEV_REDACT_KEYS": "plate",
    "SOVDEV_REDACT_PSEUDONYM_KEYS": "owner",
    "SOVDEV_REDACT_PSEUDONYM_KEY": PSEUDONYM_KEY,
    "SOVDEV_REDACT_DETECT": "email",
}


def rules_file(folder: Path) -> str:
    path = folder / "redact.json"
    path.write_text(json.dumps({"patterns": {"case": "zq-CASE-[0-9]+"}}), encoding="utf-8")
    return str(path)


def without_function(_path: str, value: Any) -> object:
    return value.replace("zq-function", "(ours)") if isinstance(value, str) else value


def log_secrets() -> None:
    secrets = {
        "plate": "zq-own-key",
        "owner": "zq-person",
        "list": ["zq-CASE-4711", {"to": "zq.mail@example.no"}],
        "note": "zq-function",
    }
    text = "zq-CASE-4711 zq.mail@example.no zq-function, plate=zq-own-key owner=zq-person"
    sovdev_set_context(acting_user=text)
    sovdev_log("error", text, text, text, secrets, secrets, trace_id=text)
    sovdev_log_job_status("info", "f", text, text, text, secrets)
    try:
        raise ValueError(text)
    except ValueError as error:
        sovdev_log("error", "f", "failed", None, exception=error)
        span = sovdev_start_span(text, attributes=secrets)
        span.end(error)


def test_no_output_has_what_a_rule_replaces(
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with OtlpReceiver() as receiver, FakeLogwell() as logwell, FakeRelay() as relay:
        for name, value in RULES.items():
            monkeypatch.setenv(name, value)
        from support import service  # noqa: PLC0415

        monkeypatch.setattr(
            service,
            "sovdev_initialize",
            lambda *given: sovdev_initialize(*given, redact=without_function),
        )
        started = start(
            LOG_TO_CONSOLE="true",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            LOGWELL_ENDPOINT=logwell.url,
            LOGWELL_API_KEY=KEY,
            RELAY_TARGETS=relay.target,
            SOVDEV_REDACT_FILE=rules_file(tmp_path),
        )
        log_secrets()
        sovdev_flush()
        receiver.respond_with(503, times=1000)
        log_secrets()
        redacted = sovdev_status().redacted
        sovdev_shutdown()
        printed = "".join(capfd.readouterr())
        shown: dict[str, str] = {
            "console": printed,
            "file": (started.folder / "dev.log").read_text(encoding="utf-8"),
            "error_file": (started.folder / "error.log").read_text(encoding="utf-8"),
            "otlp": str([request.message for request in receiver.requests]),
            "logwell": str(logwell.stored),
            "relay": str(relay.entries),
            "spool": "".join(
                path.read_bytes().decode("latin-1")
                for path in (tmp_path / "spool").rglob("*")
                if path.is_file()
            ),
            "configuration": repr(sovdev_validate_config()),
        }
    for output, text in shown.items():
        found = [secret for secret in (*SECRETS, PSEUDONYM_KEY) if secret in text]
        assert not found, f"{output} has {found}"
        assert ("PSEUDONYM" if output != "configuration" else "not shown") in text, output
    assert set(redacted) == {"email", "function", "key", "pattern:case", "pseudonym"}


def test_the_built_in_rules_are_counted(start: Start) -> None:
    start()
    sovdev_log("info", "f", "ordinary", None, {"a": 1})
    assert sovdev_status().redacted == {}
    sovdev_log("info", "f", "password=x1 Bearer abc123", None, {"password": "x", "t": "token=x2"})
    assert sovdev_status().redacted == {"credential_name": 1, "credential_in_text": 3}


def test_a_test_captures_what_the_rules_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOVDEV_REDACT_KEYS", "plate")
    with capture() as captured:
        sovdev_initialize("orders", redact=without_function)
        sovdev_log("info", "f", "zq-function", None, {"plate": "zq-own-key"})
    entry = captured.one()
    assert (entry["message"], entry["input_json"]) == ("(ours)", {"plate": "[REDACTED]"})


def test_redact_has_to_be_a_function() -> None:
    with pytest.raises(TypeError, match="redact must be a function of a path and a value"):
        sovdev_initialize("orders", redact="plate")  # type: ignore[arg-type]


PROFILE = """
import sovdev_logger as log

def redact(path, value):
    return value.replace("zq-function", "(ours)") if isinstance(value, str) else value

log.sovdev_initialize_environment(redact=redact)

def work(plate, owner):
    case = "zq-CASE-4711"
    raise ValueError("zq-CASE-4711 zq.mail@example.no plate=zq-own-key")

try:
    work("zq-own-key", "zq-person")
except ValueError as error:
    log.sovdev_log("error", "f", "zq-function", None, exception=error)
work("zq-own-key", "zq-person")
"""


def test_a_profile_and_its_tracebacks_have_no_such_value(tmp_path: Path) -> None:
    variables = {
        "NAME_APP": "orders",
        "RUN_ENVIRONMENT": "development",
        "PATH_TO_LOGS": str(tmp_path / "app"),
        "SOVDEV_REDACT_FILE": rules_file(tmp_path),
        **RULES,
    }
    out, err = run(tmp_path, PROFILE, variables, code=1)
    files = [path.read_text(encoding="utf-8") for path in (tmp_path / "app").rglob("*.log")]
    shown = "".join(files) + out + err
    assert "(ours)" in shown
    assert "Traceback" in shown
    # The source of a line, which a traceback shows, is no value.
    logged = [line for line in shown.splitlines() if "case =" not in line]
    found = [s for s in (*SECRETS[2:], PSEUDONYM_KEY) if s in "\n".join(logged)]
    assert not found
