"""The examples as a newcomer runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.service import environment, read_lines

EXAMPLES = Path(__file__).parents[2] / "examples"
QUICKSTART = EXAMPLES / "quickstart.py"
OUTPUTS = EXAMPLES / "outputs"


def test_the_quickstart_shows_three_entries_and_keeps_a_secret(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, str(QUICKSTART)],
        env={**os.environ, **environment(tmp_path, LOG_TO_CONSOLE="true")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    entries = read_lines(tmp_path / "dev.log")
    assert [entry["message"] for entry in entries] == ["Order received", "Paying", "Payment failed"]
    assert entries[0]["input_json"] == {"order": 17, "card_token": "[REDACTED]"}
    assert entries[1]["trace_id"] == entries[2]["trace_id"]
    assert finished.stdout == ""
    assert "t0p" not in finished.stderr
    assert "TimeoutError: no answer from the payment service" in finished.stderr


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "logwell",
            [
                "the server got: info  Service started",
                "the server got: warn  Card is about to expire",
                "the server got: error Payment failed",
            ],
        ),
        (
            "relay",
            [
                "the relay got: info  Service started",
                "the relay got: warn  Card is about to expire",
                "the relay got: error Payment failed",
            ],
        ),
        (
            "logwell_client",
            [
                "the server got: info  order placed",
                "the server got: warn  stock is low",
                "0 records wait",
            ],
        ),
    ],
)
def test_the_outputs(tmp_path: Path, name: str, expected: list[str]) -> None:
    finished = subprocess.run(
        [sys.executable, str(OUTPUTS / f"{name}.py")],
        env={**os.environ, **environment(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert finished.stdout.splitlines() == expected
    assert finished.stderr == ""


def test_the_quickstart_is_short() -> None:
    assert len(QUICKSTART.read_text(encoding="utf-8").splitlines()) <= 20


def test_the_service_leaves_a_record_of_everything(tmp_path: Path) -> None:
    variables = {
        "NAME_APP": "orders",
        "RUN_ENVIRONMENT": "production",
        "PATH_TO_LOGS": str(tmp_path / "logs"),
        "NAME_CHILD_PROCESS_IMPORT": "orders-import",
        "WAREHOUSE_PASSWORD": "hunter2secret",
    }
    for arguments, code in (([], 0), (["crash"], 1)):
        finished = subprocess.run(
            [sys.executable, str(EXAMPLES / "service" / "service.py"), *arguments],
            env={**os.environ, **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert finished.returncode == code, finished.stderr
        assert finished.stdout + finished.stderr == ""
    said = (tmp_path / "logs" / "orders.log").read_text(encoding="utf-8")
    lines = [line.split(" | ", 3)[3] for line in said.splitlines() if line.startswith("20")]
    assert lines == [
        "orders starts to work",
        "The import has ended",
        "stock is low: 3 left",
        "orders ends",
        "orders starts to crash",
        "uncaught ConnectionError: the warehouse does not take [REDACTED]",
    ]
    assert "hunter2secret" not in said
    child = (tmp_path / "logs" / "orders-import.log").read_text(encoding="utf-8")
    assert "orders-import exits with code 0: there is no stock.csv" in child


def run_example(folder: Path, code: str, where: Path, **more: str) -> list[str]:
    """Run code beside an example and return the messages that it logged."""
    finished = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment(folder), "PYTHONPATH": str(where), **more},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    told = [entry["message"] for entry in read_lines(folder / "dev.log")]
    return [one for one in told if not one.startswith("HTTP Request:")]  # the test client's own


@pytest.mark.parametrize(
    ("name", "client", "route"),
    [
        (
            "fastapi",
            "from fastapi.testclient import TestClient\nget = TestClient(app.app).get",
            "/items/{item}",
        ),
        ("flask", "get = app.app.test_client().get", "/items/<int:item>"),
        ("django", "from django.test import Client\nget = Client().get", "/items/<int:item>/"),
    ],
)
def test_the_web_examples(tmp_path: Path, name: str, client: str, route: str) -> None:
    slash = "/" if name == "django" else ""
    code = f"import app\n{client}\n"
    code += f"for item in (17, 101):\n    get(f'/items/{{item}}{slash}').close()\n"
    assert run_example(tmp_path, code, EXAMPLES / name) == [
        "Looking up an item",
        f"GET {route} 200",
        "Looking up an item",
        "no such item",
        f"GET {route} 404",
    ]


def test_the_example_of_celery(tmp_path: Path) -> None:
    code = "import tasks\ntasks.app.conf.task_always_eager = True\nprint(tasks.pay.apply((16,)))\n"
    code += "tasks.pay.apply((17,))"
    assert run_example(tmp_path, code, EXAMPLES / "celery", TMPDIR=str(tmp_path)) == [
        "Paying",
        "Task tasks.pay succeeded",
        "Paying",
        "Task tasks.pay failed",
    ]


def test_the_examples_of_other_loggers_and_lambda(tmp_path: Path) -> None:
    code = "import runpy, sys\nrunpy.run_path(sys.path[1] + '/{}.py', run_name='__main__')"
    assert run_example(tmp_path, code.format("other_loggers"), EXAMPLES) == [
        "by stdlib",
        "by structlog",
        "by Loguru",
    ]
    assert run_example(tmp_path, code.format("lambda_handler"), EXAMPLES)[3:] == ["Order received"]
