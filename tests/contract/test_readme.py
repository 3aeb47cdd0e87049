"""Every snippet of the README runs, in order, as a newcomer would paste them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.service import environment, read_lines

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_python_snippets_run_as_one_program(tmp_path: Path) -> None:
    program = tmp_path / "readme.py"
    program.write_text("\n".join(snippets("python")), encoding="utf-8")
    finished = subprocess.run(
        [sys.executable, str(program)],
        env={**os.environ, **environment(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    entries = read_lines(tmp_path / "dev.log")
    assert len(entries) == 13
    found = next(entry for entry in entries if entry["message"] == "Company found")
    assert found["input_json"]["api_key"] == "[REDACTED]"


def test_there_are_snippets() -> None:
    assert len(snippets("python")) >= 9


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_two_commands_are_targets(command: str) -> None:
    assert command in README
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"\n{command.split()[1]}:" in makefile


def test_every_variable_of_the_table_is_known() -> None:
    from sovdev_logger._settings.variables import variable_names

    table = README.split("## Variables")[1].split("## When things fail")[0]
    named = set(re.findall(r"`([A-Z][A-Z_]+)`", table))
    ours = {name for name in named if not name.startswith("OTEL_")}
    # One name has a part that the user chooses.
    known = {name for name in variable_names() if "<" not in name and not name.startswith("OTEL_")}
    assert ours == known


def test_links_point_to_files() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
