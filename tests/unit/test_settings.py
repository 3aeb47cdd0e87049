"""Every variable: its default, its values, and what happens when it is wrong."""

import os
import socket
import threading
from pathlib import Path

import pytest

from sovdev_logger._settings.endpoint import is_loopback
from sovdev_logger._settings.reader import MAX_SECONDS
from sovdev_logger._settings.service import Settings, read_settings
from sovdev_logger._settings.variables import variable_names

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}


def only_problem(settings: Settings) -> str:
    assert len(settings.problems) == 1, settings.problems
    return settings.problems[0].message


def test_defaults_with_an_empty_environment() -> None:
    settings = read_settings({})
    assert settings.console
    assert not settings.console_json
    assert settings.redact
    assert settings.level.name == "trace"
    assert settings.max_field_bytes == 65536
    assert settings.file is not None
    assert settings.file.path == Path("logs/dev.log")
    assert (settings.file.max_bytes, settings.file.backup_count) == (52428800, 5)
    assert settings.error_file is not None
    assert settings.error_file.path == Path("logs/error.log")
    assert (settings.file.variable, settings.error_file.variable) == (
        "LOG_FILE_PATH",
        "ERROR_LOG_PATH",
    )
    assert (settings.error_file.max_bytes, settings.error_file.backup_count) == (10485760, 3)
    assert not settings.otlp.enabled
    assert settings.problems == ()


def test_the_console_is_off_by_default_once_there_is_an_endpoint() -> None:
    assert not read_settings(ENDPOINT).console
    assert read_settings({**ENDPOINT, "LOG_TO_CONSOLE": "true"}).console
    assert read_settings({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}).console


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("YES", True), ("off", False), ("0", False)]
)
def test_flags_have_the_usual_spellings(text: str, value: bool) -> None:
    assert read_settings({"LOG_TO_CONSOLE": text}).console is value


def test_logging_to_file_can_be_switched_off() -> None:
    settings = read_settings({"LOG_TO_FILE": "false"})
    assert settings.file is None
    assert settings.error_file is None


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("LOG_TO_FILE", "perhaps", "true or false"),
        ("LOG_FILE_MAX_BYTES", "50MB", "a whole number"),
        ("LOG_FILE_BACKUP_COUNT", "-1", "a whole number"),
        ("ERROR_LOG_MAX_BYTES", "9" * 30, "a whole number"),
        ("SOVDEV_MAX_FIELD_BYTES", "10", "at least 256"),
        ("SOVDEV_LOG_LEVEL", "loud", "one of trace, debug, info, warn, error, fatal"),
        ("SOVDEV_LOG_LEVEL", "9" * 5000, "one of trace, debug, info, warn, error, fatal"),
        ("SOVDEV_LOG_LEVEL", "²", "one of trace, debug, info, warn, error, fatal"),
        ("SOVDEV_CONSOLE_FORMAT", "xml", "one of pretty, json"),
        ("SOVDEV_EXIT_TIMEOUT_SECONDS", "soon", "a positive number of seconds"),
        ("SOVDEV_EXIT_TIMEOUT_SECONDS", "inf", "a positive number of seconds"),
        ("LOG_FILE_PATH", "~nobody-of-that-name/x.log", "a path whose home folder exists"),
    ],
)
def test_a_wrong_value_keeps_the_default_and_is_named(
    variable: str, value: str, expected: str
) -> None:
    settings = read_settings({variable: value})
    message = only_problem(settings)
    assert message.startswith(f"{variable}='{value[:80]}")
    assert expected in message
    assert settings == read_settings({}) or settings.problems
    assert (settings.file, settings.level) == (read_settings({}).file, read_settings({}).level)


def test_right_values_are_taken() -> None:
    settings = read_settings(
        {
            "LOG_FILE_PATH": "/var/log/x.log",
            "LOG_FILE_MAX_BYTES": "1000",
            "LOG_FILE_BACKUP_COUNT": "0",
            "SOVDEV_LOG_LEVEL": "WARNING",
            "SOVDEV_CONSOLE_FORMAT": "JSON",
            "SOVDEV_REDACTION": "off",
            "SOVDEV_EXIT_TIMEOUT_SECONDS": "2.5",
            "SERVICE_VERSION": " 2.1.0 ",
        }
    )
    assert settings.file is not None
    assert settings.file.path == Path("/var/log/x.log")
    assert (settings.file.max_bytes, settings.file.backup_count) == (1000, 0)
    assert settings.level.name == "warn"
    assert settings.console_json
    assert not settings.redact
    assert settings.exit_timeout_seconds == 2.5
    assert settings.service_version == "2.1.0"


def test_a_level_may_be_a_number() -> None:
    assert read_settings({"SOVDEV_LOG_LEVEL": "30"}).level.name == "warn"


def test_the_general_endpoint_gets_the_path_of_each_signal() -> None:
    otlp = read_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318/base/"}).otlp
    assert otlp.logs is not None
    assert otlp.metrics is not None
    assert otlp.traces is not None
    assert otlp.logs.url == "http://localhost:4318/base/v1/logs"
    assert otlp.metrics.url == "http://localhost:4318/base/v1/metrics"
    assert otlp.traces.url == "http://localhost:4318/base/v1/traces"


def test_a_signals_own_endpoint_is_used_as_it_is() -> None:
    otlp = read_settings({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "https://logs.example/in"}).otlp
    assert otlp.logs is not None
    assert otlp.logs.url == "https://logs.example/in"
    assert otlp.metrics is None
    assert otlp.traces is None


def test_a_signal_can_be_switched_off() -> None:
    otlp = read_settings({**ENDPOINT, "OTEL_METRICS_EXPORTER": "none"}).otlp
    assert otlp.metrics is None
    assert otlp.logs is not None


@pytest.mark.parametrize(
    "endpoint", ["localhost:4318", "ftp://x", "http://", "http://x:99999", "//x"]
)
def test_an_endpoint_that_is_no_url_leaves_otlp_off(endpoint: str) -> None:
    settings = read_settings({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": endpoint})
    assert not settings.otlp.enabled
    assert "an http:// or https:// URL" in only_problem(settings)


def test_a_password_in_a_bad_endpoint_is_not_repeated() -> None:
    settings = read_settings({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "ftp://user:hunter2@host/x"})
    assert "hunter2" not in only_problem(settings)


def test_headers_are_percent_decoded_and_the_signals_own_win() -> None:
    otlp = read_settings(
        {
            **ENDPOINT,
            "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20abc,Host=otel.localhost",
            "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "Host=logs.localhost",
        }
    ).otlp
    assert otlp.logs is not None
    assert otlp.traces is not None
    assert otlp.logs.headers == {"Authorization": "Basic abc", "Host": "logs.localhost"}
    assert otlp.traces.headers == {"Authorization": "Basic abc", "Host": "otel.localhost"}


@pytest.mark.parametrize("headers", ["no-equals-sign", "a=b%0d%0aX-Injected:1"])
def test_a_header_that_is_not_usable_is_left_out(headers: str) -> None:
    settings = read_settings({**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": headers})
    assert settings.otlp.logs is not None
    assert settings.otlp.logs.headers == {}
    assert "key=value" in only_problem(settings)


def test_a_credential_is_not_sent_in_clear_text_to_another_machine() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://collector.example/v1/logs",
        "OTEL_EXPORTER_OTLP_HEADERS": "X-Api-Key=s3cret,Host=inner",
    }
    settings = read_settings(environ)
    assert settings.otlp.logs is not None
    assert settings.otlp.logs.headers == {"Host": "inner"}
    message = only_problem(settings)
    assert "X-Api-Key" in message
    assert "set SOVDEV_TRUSTED_NETWORK=on" in message
    assert "s3cret" not in message
    assert "s3cret" not in repr(settings)


ELSEWHERE = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example",
    "OTEL_EXPORTER_OTLP_HEADERS": "X-Api-Key=s3cret",
    "LOGWELL_ENDPOINT": "http://logwell.example",
    "LOGWELL_API_KEY": "lw_" + "k" * 32,
    "SOVDEV_SAMPLING": "lipservice",
    "LIPSERVICE_URL": "http://lipservice.example",
    "LIPSERVICE_TEAM_ID": "7",
    "LIPSERVICE_API_KEY": "s3cret",
    "RELAY_TARGETS": "relay.example:50051",
    "RELAY_HEADERS": "x-api-key=s3cret",
}


@pytest.mark.parametrize("value", ["", "off", "perhaps"])
def test_no_network_is_trusted_unless_the_user_says_so(value: str) -> None:
    settings = read_settings({**ELSEWHERE, "SOVDEV_TRUSTED_NETWORK": value})
    assert settings.otlp.logs is not None
    assert settings.otlp.logs.headers == {}
    assert settings.logwell is None
    assert settings.sampling is None
    refusals = [one.message for one in settings.problems if "is not sent to" in one.message]
    assert len(refusals) == 3, "one for OTLP, one for Logwell, one for LipService"
    assert all("or set SOVDEV_TRUSTED_NETWORK=on" in one for one in refusals)


def test_credentials_go_over_a_trusted_network_but_not_to_a_relay() -> None:
    settings = read_settings({**ELSEWHERE, "SOVDEV_TRUSTED_NETWORK": "on"})
    assert settings.otlp.logs is not None
    assert settings.otlp.logs.headers == {"X-Api-Key": "s3cret"}
    assert settings.logwell is not None
    assert settings.sampling is not None
    assert settings.sampling.lipservice is not None
    assert settings.relay is None
    assert "the header x-api-key of the relay is a credential" in only_problem(settings)


@pytest.mark.parametrize("text", ["1" * 5000, "-" + "9" * 5000, "x" * 5000, "~x/y", "²", "nan"])
def test_no_value_of_a_variable_raises(text: str) -> None:
    everything = {**ELSEWHERE, "RELAY_HEADERS": "", "SOVDEV_TRUSTED_NETWORK": "on"}
    for name in variable_names():
        assert isinstance(read_settings({**everything, name: text}), Settings), name


@pytest.mark.parametrize("value", ["1e300", "9" * 18])
def test_no_wait_is_longer_than_python_can_wait(value: str) -> None:
    names = {name for name in variable_names() if "TIMEOUT" in name or "INTERVAL" in name}
    everything = {**ELSEWHERE, "RELAY_HEADERS": "", "SOVDEV_TRUSTED_NETWORK": "on"}
    settings = read_settings({**everything, **dict.fromkeys(names, value)})
    lipservice = settings.sampling.lipservice if settings.sampling else None
    seconds = [
        getattr(part, field)
        for part in (settings, settings.otlp, settings.otlp.logs, settings.relay, lipservice)
        for field in getattr(part, "__dataclass_fields__", ())
        if field.endswith("_seconds")
    ]
    assert len(seconds) == 9
    assert max(seconds) == MAX_SECONDS < min(threading.TIMEOUT_MAX, 2**31 / 1000)
    with socket.socket() as sock:
        for timeout in seconds:
            sock.settimeout(timeout)


def test_a_level_of_thousands_of_digits_is_not_usable() -> None:
    settings = read_settings({"SOVDEV_LOG_LEVEL": "1" * 5000})
    assert settings.level.name == "trace"
    assert "SOVDEV_LOG_LEVEL='111" in only_problem(settings)
    assert len(only_problem(settings)) < 250


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("name", ["RELAY_TLS_CA", "RELAY_TLS_CERT", "RELAY_TLS_KEY"])
def test_a_file_in_a_folder_that_the_user_cannot_enter(name: str, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    key = tmp_path / "closed" / "key.pem"
    key.touch(mode=0o644)
    os.seteuid(65534)
    try:
        settings = read_settings({"RELAY_TARGETS": "relay.example:50051", name: str(key)})
    finally:
        os.seteuid(0)
    assert settings.relay is None
    message = only_problem(settings)
    assert f"{name}=" in message
    assert "expected a file that this user may read; the output to the relay" in message


def test_the_current_folder_may_be_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    settings = read_settings({})
    assert settings.file is not None
    assert settings.file.path == Path("logs/dev.log")


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("localhost", True),
        ("otel.localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("localhost.example", False),
    ],
)
def test_loopback_is_this_machine(host: str, is_local: bool) -> None:
    assert is_loopback(host) is is_local


@pytest.mark.parametrize(
    ("text", "seconds"), [("10000", 10.0), ("250", 0.25), ("10", 10.0), ("99", 99.0)]
)
def test_a_timeout_is_milliseconds_unless_it_can_only_mean_seconds(
    text: str, seconds: float
) -> None:
    otlp = read_settings({**ENDPOINT, "OTEL_EXPORTER_OTLP_TIMEOUT": text}).otlp
    assert otlp.logs is not None
    assert otlp.logs.timeout_seconds == seconds


def test_compression_and_tls_files() -> None:
    otlp = read_settings(
        {
            **ENDPOINT,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem",
            "OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE": "/me.pem",
            "OTEL_EXPORTER_OTLP_CLIENT_KEY": "/me.key",
        }
    ).otlp
    assert otlp.logs is not None
    assert otlp.traces is not None
    assert otlp.logs.gzip
    assert (otlp.logs.ca_file, otlp.logs.client_cert_file) == ("/ca.pem", "/me.pem")
    assert (otlp.logs.client_key_file, otlp.traces.client_cert_file) == ("/me.key", None)


def test_another_protocol_is_named_once_and_http_is_used() -> None:
    settings = read_settings({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert settings.otlp.enabled
    assert only_problem(settings) == (
        "OTEL_EXPORTER_OTLP_PROTOCOL=grpc asks for OTLP over gRPC, which is not supported; OTLP "
        "over HTTP with protobuf is used: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf and the "
        "port for HTTP, usually 4318, in the endpoint."
    )


@pytest.mark.parametrize(
    ("environ", "asking", "setting"),
    [
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"},
            "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4317",
            "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318",
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://u:pw@collector:4317/v1/logs",
                "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "GRPC",
            },
            "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL=grpc and "
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://…@collector:4317/v1/logs",
            "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL=http/protobuf and "
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://…@collector:4318/v1/logs",
        ),
    ],
)
def test_what_asks_for_grpc_is_one_problem(
    environ: dict[str, str], asking: str, setting: str
) -> None:
    message = only_problem(read_settings(environ))
    assert message.startswith(f"{asking} asks for OTLP over gRPC")
    assert message.endswith(f"set {setting}.")


def test_http_may_have_the_port_of_grpc_where_it_is_said() -> None:
    environ = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}
    assert read_settings({**environ, **endpoint}).problems == ()


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("OTEL_LOGS_EXPORTER", "console", "LOG_TO_CONSOLE=true prints the entries"),
        ("OTEL_METRICS_EXPORTER", "otlp,prometheus", "metrics go over OTLP to"),
        ("OTEL_TRACES_EXPORTER", "Zipkin", "traces go over OTLP to"),
    ],
)
def test_an_exporter_that_there_is_not_is_named(name: str, value: str, shown: str) -> None:
    message = only_problem(read_settings({**ENDPOINT, name: value}))
    assert message.startswith(f"{name}={value.lower().removeprefix('otlp,')!r} is not usable")
    assert shown in message
    assert "are not sent" in only_problem(read_settings({name: value}))


@pytest.mark.parametrize("value", ["none", "otlp", "OTLP", " None ", "otlp_proto_http"])
def test_exporters_that_there_are(value: str) -> None:
    assert read_settings({**ENDPOINT, "OTEL_LOGS_EXPORTER": value}).problems == ()


def test_one_wrong_variable_that_three_signals_share_is_one_problem() -> None:
    settings = read_settings({**ENDPOINT, "OTEL_EXPORTER_OTLP_COMPRESSION": "zip"})
    assert "OTEL_EXPORTER_OTLP_COMPRESSION='zip'" in only_problem(settings)


def test_resource_attributes_and_the_environments_name() -> None:
    otlp = read_settings(
        {"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=prod,team=a%2Cb"}
    ).otlp
    assert otlp.resource_attributes == {"deployment.environment.name": "prod", "team": "a,b"}
    assert otlp.deployment_environment == "prod"
    assert read_settings({"RUN_ENVIRONMENT": "testing"}).otlp.deployment_environment == "testing"
    assert read_settings({}).otlp.deployment_environment == "development"


def test_metric_settings() -> None:
    otlp = read_settings(
        {
            "OTEL_METRIC_EXPORT_INTERVAL": "5000",
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
        }
    ).otlp
    assert otlp.metric_interval_seconds == 5
    assert otlp.delta_temporality


def test_delivery_settings() -> None:
    delivery = read_settings({}).delivery
    assert (delivery.queue_max_records, delivery.queue_max_bytes) == (65_536, 64 * 1024 * 1024)
    assert delivery.spool is not None
    assert delivery.spool.folder == Path("logs/spool").absolute()
    assert delivery.spool.max_bytes == 100 * 1024 * 1024
    beside = read_settings({"LOG_FILE_PATH": "/var/log/orders/app.log", "LOG_TO_FILE": "off"})
    assert beside.delivery.spool is not None
    assert beside.delivery.spool.folder == Path("/var/log/orders/spool")
    chosen = read_settings(
        {
            "SOVDEV_SPOOL_DIR": "~/spool",
            "SOVDEV_SPOOL_MAX_BYTES": "70000",
            "SOVDEV_QUEUE_MAX_RECORDS": "100",
            "SOVDEV_QUEUE_MAX_BYTES": "100000",
        }
    )
    assert chosen.problems == ()
    assert (chosen.delivery.queue_max_records, chosen.delivery.queue_max_bytes) == (100, 100_000)
    assert chosen.delivery.spool is not None
    assert chosen.delivery.spool.folder == Path.home() / "spool"
    assert chosen.delivery.spool.max_bytes == 70_000
    assert read_settings({"SOVDEV_SPOOL": "off"}).delivery.spool is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SOVDEV_SPOOL", "maybe"),
        ("SOVDEV_SPOOL_MAX_BYTES", "100 MB"),
        ("SOVDEV_SPOOL_MAX_BYTES", "0"),
        ("SOVDEV_QUEUE_MAX_RECORDS", "1"),
        ("SOVDEV_QUEUE_MAX_BYTES", "-1"),
    ],
)
def test_wrong_delivery_settings_are_named_and_the_default_stays(name: str, value: str) -> None:
    settings = read_settings({name: value})
    assert name in only_problem(settings)
    assert settings.delivery == read_settings({}).delivery
