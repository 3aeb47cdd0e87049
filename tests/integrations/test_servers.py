"""Real servers, driven over real sockets by many clients at once, and ended by SIGTERM."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.otlp_receiver import OtlpReceiver
from support.processes import unmeasured
from support.service import environment

HERE = Path(__file__).parent
CLIENTS = 50
REQUESTS_OF_A_CLIENT = 6

GUNICORN = ["gunicorn", "--bind", "127.0.0.1:{port}", "--log-level", "warning"]
UVICORN = ["uvicorn", "--port", "{port}", "--log-level", "warning"]

SERVERS: dict[str, tuple[list[str], str]] = {
    "uvicorn": ([*UVICORN, "--factory", "web_apps:make_asgi"], "/items/"),
    "uvicorn, threads": ([*UVICORN, "--factory", "web_apps:make_asgi"], "/sync/"),
    "uvicorn, workers": (
        [*UVICORN, "--workers", "2", "--factory", "web_apps:make_asgi"],
        "/items/",
    ),
    "gunicorn": ([*GUNICORN, "--workers", "2", "web_apps:make_flask()"], "/items/"),
    "gunicorn, preload, 4 workers": (
        [*GUNICORN, "--workers", "4", "--preload", "web_apps:make_flask()"],
        "/items/",
    ),
    "gunicorn, threads": (
        [*GUNICORN, "--workers", "2", "--threads", "8", "web_apps:make_flask()"],
        "/items/",
    ),
    "forked after the application was made": (["prefork", "{port}"], "/items/"),
    "django, gunicorn, preload": (
        [*GUNICORN, "--workers", "2", "--threads", "4", "--preload", "django_app.wsgi:application"],
        "/items/",
    ),
    "django, uvicorn": ([*UVICORN, "django_app.asgi:application"], "/async/"),
}
SIMILAR = {"uvicorn, workers", "gunicorn", "gunicorn, threads", "django, gunicorn, preload"}
"""Run at full size only."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextmanager
def serving(folder: Path, command: list[str], receiver: OtlpReceiver, **more: str) -> Iterator[int]:
    """Run a server and end it by SIGTERM; the port is what it listens on."""
    port = free_port()
    said = folder / f"server-{port}.txt"
    with said.open("wb") as errors:
        server = subprocess.Popen(
            [sys.executable, "-m", *(part.format(port=port) for part in command)],
            env={
                **unmeasured(),
                **environment(
                    folder,
                    LOG_TO_FILE="false",
                    OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
                    SOVDEV_SPOOL_DIR=str(folder / f"spool-{port}"),
                    PYTHONPATH=str(HERE),
                    **more,
                ),
            },
            cwd=HERE,
            stdout=errors,
            stderr=errors,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 90
        while True:
            assert server.poll() is None, said.read_text()
            assert time.monotonic() < deadline, said.read_text()
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) in {0, -signal.SIGTERM}, said.read_text()
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def talk_with(port: int, path: str, suffix: str, client: int, failures: list[str]) -> None:
    for number in range(REQUESTS_OF_A_CLIENT):
        item = client * 100 + number
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request(
                "GET",
                f"{path}{item}{suffix}",
                headers={
                    "X-Client": f"client-{client}",
                    "X-Request-ID": f"r-{item}",
                    "traceparent": f"00-{item + 1:032x}-{item + 1:016x}-01",
                },
            )
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200 or answer.headers["X-Request-ID"] != f"r-{item}":
                failures.append(f"{item}: {answer.status} {answer.headers}")
        except OSError as error:
            failures.append(f"{item}: {error}")
        finally:
            connection.close()


def fields_of(record: Any) -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in record.attributes}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.sized(least="full" if name in SIMILAR else "quick"))
        for name in SERVERS
    ],
)
def test_no_entry_has_another_requests_context(tmp_path: Path, name: str) -> None:
    command, path = SERVERS[name]
    with OtlpReceiver() as receiver:
        with serving(tmp_path, command, receiver) as port:
            failures: list[str] = []
            suffix = "/" if "django" in name else ""
            clients = [
                threading.Thread(target=talk_with, args=(port, path, suffix, client, failures))
                for client in range(CLIENTS)
            ]
            for client in clients:
                client.start()
            for client in clients:
                client.join()
            assert failures == []
        records = [record for _, _, _, record in receiver.log_records()]
    inside = [one for one in records if one.body.string_value.startswith("item")]
    inside += [one for one in records if one.body.string_value.startswith("inside")]
    requests = [one for one in records if one.body.string_value.startswith("GET")]
    wanted = {
        client * 100 + number for client in range(CLIENTS) for number in range(REQUESTS_OF_A_CLIENT)
    }
    seen = Counter(int(one.body.string_value.rpartition(" ")[2]) for one in inside)
    assert seen == dict.fromkeys(wanted, 1)
    assert len(requests) == len(wanted)
    traces: dict[int, str] = {}
    for one in inside:
        item = int(one.body.string_value.rpartition(" ")[2])
        assert one.trace_id.hex() == f"{item + 1:032x}"
        assert fields_of(one)["client_name"] == f"client-{item // 100}"
        traces[item] = one.span_id.hex()
    for one in requests:
        item = int(one.trace_id.hex(), 16) - 1
        fields = fields_of(one)
        assert f'"request_id":"r-{item}"' in fields["input_json"]
        assert fields["client_name"] == f"client-{item // 100}"
        assert one.span_id.hex() == traces[item]
    spans = [span for _, _, _, span in receiver.spans() if span.kind == 2]
    assert len({span.span_id for span in spans}) == len(spans) == len(wanted)
    for span in spans:
        item = int(span.trace_id.hex(), 16) - 1
        assert span.parent_span_id.hex() == f"{item + 1:016x}"


def test_a_chain_of_two_services_is_one_trace(tmp_path: Path) -> None:
    flask_command, asgi_command = SERVERS["gunicorn"][0], SERVERS["uvicorn"][0]
    with OtlpReceiver() as receiver:
        with (
            serving(tmp_path, asgi_command, receiver) as second,
            serving(tmp_path, flask_command, receiver) as first,
        ):
            connection = http.client.HTTPConnection("127.0.0.1", first, timeout=30)
            connection.request("GET", f"/chain/{second}")
            assert connection.getresponse().status == 200
            connection.close()
        spans = {span.name: span for _, _, _, span in receiver.spans()}
    outer, call, inner = (
        spans["GET /chain/<int:port>"],
        spans["call the other"],
        spans["GET /items/{item}"],
    )
    assert outer.trace_id == call.trace_id == inner.trace_id
    assert (call.parent_span_id, inner.parent_span_id) == (outer.span_id, call.span_id)
    assert (outer.kind, call.kind, inner.kind) == (2, 3, 2)
    assert fields_of(call)["service.peer.name"] == "OTHER"
