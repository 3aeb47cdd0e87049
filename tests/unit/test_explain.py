"""``python -m sovdev_logger.sampling explain``: what a policy would do to a log file."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sovdev_logger._sampling import explain as explain_module
from sovdev_logger._sampling.cli import main
from sovdev_logger._sampling.explain import OTHERS, explain, format_table
from sovdev_logger._sampling.policy import LOCAL_DEFAULTS, Policy, uniform_policy
from sovdev_logger._sampling.signature import signature_of
from support.lipservice import DEFAULT_POLICY, FakeLipService


def line(message: str, level: str = "info", **more: object) -> bytes:
    return json.dumps({"level": level, "message": message, **more}).encode() + b"\n"


LINES = [
    *(line(f"User {n} logged in") for n in range(101)),
    *(line(f"failed {n}", "error") for n in range(10)),
    line("Job Started: import", log_type="job.status"),
    line("Job Started: import", log_type="job.status"),
]


def test_patterns_come_by_volume_with_what_is_kept() -> None:
    found = explain(LINES, uniform_policy(0.1))
    rows = [(one.pattern, one.count, round(one.kept, 3)) for one in found.patterns]
    assert rows == [
        ("User N logged in", 101, 11.0),
        ("failed N", 10, 10.0),
        ("Job Started: import", 2, 2.0),
    ]
    assert (found.count, round(found.kept, 3)) == (113, 23.0)
    logins = sum(map(len, LINES[:101]))
    assert found.saved_share == pytest.approx(0.9 * (logins - len(LINES[0])) / found.size_bytes)


def test_a_policys_pattern_goes_first() -> None:
    policy = Policy(pattern_rates={signature_of("User 1 logged in"): 0.5}, global_rate=0.0)
    assert explain(LINES, policy).patterns[0].kept == 51


@pytest.mark.parametrize(
    ("text", "pattern", "kept"),
    [
        (b"2025-01-09 10:30:45 ERROR disk 7 full\n", "TIMESTAMP ERROR disk N full", 2.0),
        (b"2025-01-09 10:30:45 WARN slow\n", "TIMESTAMP WARN slow", 1.5),
        (b"plain words\n", "plain words", 1.2),
        (b'{"no": "JSON\n', '{"no": "JSON', 1.2),
        (b"[1, 2]\n", "[N]", 1.2),
        (b'{"event": "order placed", "level": "debug"}', "order placed", 1.05),
        (b'{"msg": "x", "levelname": "WARNING"}', "x", 1.5),
        (b'{"message": "x", "level": "info", "exception_message": "y"}', "x", 2.0),
        (b"\xff\xfe odd\n", "\ufffd\ufffd odd", 1.2),
    ],
)
def test_any_line_is_read(text: bytes, pattern: str, kept: float) -> None:
    (found,) = explain([text, b"\n", text], LOCAL_DEFAULTS).patterns
    assert (found.pattern, found.count) == (pattern, 2)
    assert found.kept == pytest.approx(kept)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain_module, "MAX_PATTERNS", 2)
    found = explain([line(word) for word in "abcdef"], uniform_policy(0.0))
    assert {one.pattern: one.count for one in found.patterns} == {"a": 1, "b": 1, OTHERS: 4}


def test_the_table() -> None:
    text = format_table(explain(LINES, uniform_policy(0.1)), rows=2, width=60)
    lines = text.splitlines()
    assert lines[0].split() == ["volume", "entries", "kept", "kept", "pattern"]
    assert lines[1].split(maxsplit=4)[1:] == ["101", "11", "11%", "User N logged in"]
    assert lines[3].strip() == "and 1 more patterns"
    assert lines[-2] == f"113 entries, {sum(map(len, LINES)):,} bytes, 3 patterns."
    assert lines[-1].startswith("Policy 0 (local) keeps 23 entries and saves 80.0%")


def test_credentials_are_not_printed() -> None:
    text = format_table(explain([b"password=hunter2 was used\n"], LOCAL_DEFAULTS), 5, 100)
    assert "hunter2" not in text


def test_an_empty_file() -> None:
    assert "0 entries" in format_table(explain([], LOCAL_DEFAULTS), 5, 100)


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    path = tmp_path / "dev.log"
    path.write_bytes(b"".join(LINES))
    return path


def test_the_command_in_a_process_of_its_own(log_file: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "sovdev_logger.sampling", "explain", str(log_file)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "User N logged in" in found.stdout
    assert "Policy 0 (local)" in found.stdout
    assert found.stderr == ""


def test_the_command_reads_stdin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"".join(LINES)))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["explain", "-", "--rows", "1"]) == 0
    assert "and 2 more patterns" in capsys.readouterr().out


def test_a_policy_from_a_file(
    log_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({**DEFAULT_POLICY, "version": 12}))
    assert main(["explain", str(log_file), "--policy", str(path)]) == 0
    assert "Policy 12 (default)" in capsys.readouterr().out


def test_the_policy_of_the_server(
    log_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeLipService() as server:
        server.set_policy("orders", version=13, generated_by="llm")
        monkeypatch.setenv("LIPSERVICE_URL", server.url)
        monkeypatch.setenv("LIPSERVICE_TEAM_ID", "7")
        assert main(["explain", str(log_file), "--service", "orders"]) == 0
    assert "Policy 13 (llm)" in capsys.readouterr().out


def test_the_file_says_whose_policy_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "dev.log"
    path.write_bytes(line("x", service_name="orders") * 3)
    with FakeLipService() as server:
        server.set_policy("orders", version=14)
        monkeypatch.setenv("LIPSERVICE_URL", server.url)
        monkeypatch.setenv("LIPSERVICE_TEAM_ID", "7")
        assert main(["explain", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "Policy 14 (default)" in shown
    assert "3 entries" in shown


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["no-such-file"], "No such file"),
        (["FILE", "--policy", "FILE"], "is not a policy"),
        (["FILE", "--service", "orders"], "LIPSERVICE_TEAM_ID is not set"),
    ],
)
def test_an_unusable_input_is_reported(
    log_file: Path,
    arguments: list[str],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LIPSERVICE_URL", "http://127.0.0.1:9")
    given = [str(log_file) if one == "FILE" else one for one in arguments]
    assert main(["explain", *given]) == 2
    assert why in capsys.readouterr().err
