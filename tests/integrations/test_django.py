"""Requests of a Django project, by Django's own test clients, in a process of its own."""

from pathlib import Path

import pytest

from support.processes import run
from support.service import read_lines

HERE = Path(__file__).parent

SETUP = f"""
import asyncio, logging, os, sys
sys.path.insert(0, {str(HERE)!r})
os.environ["DJANGO_SETTINGS_MODULE"] = "django_app.settings"
import django
django.setup()
from django.test import AsyncClient, Client
client = Client(raise_request_exception=False)
"""


@pytest.mark.parametrize("logging_setting", ["", "dictConfig"])
@pytest.mark.parametrize("is_async", [False, True])
def test_one_entry_a_request(tmp_path: Path, is_async: bool, logging_setting: str) -> None:
    get = "client.get" if not is_async else "get"
    body = (
        SETUP
        + f"""
def get(path, **named):
    return asyncio.run(AsyncClient(raise_request_exception=False).get(path, **named))
trace = "0af7651916cd43dd8448eb211c80319c"
answer = {get}("/items/17/?q=1", headers={{
    "X-Request-ID": "abc-1", "X-Client": "shop", "traceparent": f"00-{{trace}}-b7ad6b7169203331-01"
}})
assert answer.headers["X-Request-ID"] == "abc-1"
assert answer.json() == {{"request_id": "abc-1"}}
assert {get}("/async/5/").status_code == 200
assert {get}("/nowhere/").status_code == 404
assert {get}("/boom/").status_code == 500
assert {get}("/suspicious/").status_code == 400
assert {get}("/plain/").status_code == 200
assert {get}("/health").status_code == 200
"""
    )
    run(tmp_path, body, DJANGO_APP_LOGGING=logging_setting)
    entries = read_lines(tmp_path / "dev.log")
    told = [(entry["level"], entry["message"]) for entry in entries]
    told = [one for one in told if one != ("debug", "Using selector: EpollSelector")]
    assert told == [
        ("info", "item 17"),
        ("info", "GET /items/<int:number>/ 200"),
        ("info", "item 5"),
        ("info", "GET /async/<int:number>/ 200"),
        ("warn", "GET /nowhere/ 404"),
        ("error", "GET /boom/ 500"),
        ("error", "odd"),
        ("warn", "GET /suspicious/ 400"),
        ("warn", "plain"),
        ("info", "GET /plain/ 200"),
        ("warn", "plain"),
    ]
    assert entries[0]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert entries[0]["span_id"] == entries[1]["span_id"]
    assert entries[1]["function_name"] == "item"
    assert entries[1]["input_json"] == {
        "method": "GET",
        "route": "/items/<int:number>/",
        "path": "/items/17/",
        "request_id": "abc-1",
    }
    assert [entry.get("client_name") for entry in entries[:4]] == ["shop", "shop", None, None]
    (failed,) = [entry for entry in entries if entry["message"] == "GET /boom/ 500"]
    assert failed["exception_message"] == "boom"
    (plain,) = [entry for entry in entries if entry["message"] == "plain"][:1]
    assert plain["input_json"] == {"order": 17}


@pytest.mark.parametrize("path", ["stream", "stream-async"])
def test_a_stream_ends_its_request(tmp_path: Path, path: str) -> None:
    body = (
        SETUP
        + f"""
answer = client.get("/{path}/")
assert b"".join(answer.streaming_content) == b"xxx"
answer.close()
"""
    )
    if path == "stream-async":
        body = (
            SETUP
            + """
async def main():
    answer = await AsyncClient().get("/stream-async/")
    assert [part async for part in answer.streaming_content] == [b"x"] * 3
asyncio.run(main())
"""
        )
    run(tmp_path, body)
    entries = [
        entry for entry in read_lines(tmp_path / "dev.log") if "selector" not in entry["message"]
    ]
    assert [entry["message"] for entry in entries] == [
        "part 0",
        "part 1",
        "part 2",
        f"GET /{path}/ 200",
    ]
    assert len({entry["trace_id"] for entry in entries}) == 1


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("None", "SOVDEV is missing"),
        ("{'SERVICE': 'x'}", "unknown keys: SERVICE"),
        ("{}", "service_name is blank"),
        ("{'SERVICE_NAME': 5}", "service_name must be a str"),
        ("{'SERVICE_NAME': 'x', 'RESOLVER': 'no.such'}", "no"),
        ("{'SERVICE_NAME': 'x', 'CAPTURE_LOGGING': 'loud'}", "is not a level"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, setting: str, words: str) -> None:
    body = f"""
import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
apps = ["sovdev_logger.integrations.django.SovdevConfig"]
settings.configure(SOVDEV={setting}, INSTALLED_APPS=apps)
try:
    django.setup()
except ImproperlyConfigured as error:
    print(error)
"""
    out, _ = run(tmp_path, body)
    assert words in out


def test_the_test_client_works_with_capture(tmp_path: Path) -> None:
    body = (
        SETUP
        + """
from sovdev_logger.testing import capture
with capture() as logged:
    client.get("/items/17/")
    assert logged.messages == ["item 17", "GET /items/<int:number>/ 200"], logged.messages
"""
    )
    run(tmp_path, body)
    assert not (tmp_path / "dev.log").exists() or read_lines(tmp_path / "dev.log") == []
