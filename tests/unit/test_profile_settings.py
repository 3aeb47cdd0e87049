"""The variables of profiles: each problem is named with what it must be and what it was."""

import os
from pathlib import Path

import pytest

from sovdev_logger._settings.profile import (
    ProfileError,
    child_environment,
    open_log_file,
    read_profile,
)

GOOD = {"NAME_APP": " orders ", "RUN_ENVIRONMENT": "development"}


def test_defaults_and_blanks() -> None:
    profile = read_profile({**GOOD, "PATH_TO_LOGS": "/dev/null/unused", "LOG_MAX_SIZE": " "})
    assert (profile.name, profile.environment) == ("orders", "development")
    assert (profile.folder, profile.path) == (None, None)
    assert (profile.max_bytes, profile.max_files) == (5_000_000, 5)


def test_a_profile_with_a_file_makes_it(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "logs"
    profile = read_profile(
        {
            **GOOD,
            "RUN_ENVIRONMENT": "production",
            "PATH_TO_LOGS": str(folder),
            "LOG_MAX_SIZE": "0.5",
            "LOG_MAX_FILES": "2",
        }
    )
    assert profile.path == folder / "orders.log"
    assert profile.path.is_file()
    assert (profile.max_bytes, profile.max_files) == (500_000, 2)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(ProfileError) as raised:
        read_profile({"RUN_ENVIRONMENT": "testing", "LOG_MAX_SIZE": "-1", "LOG_MAX_FILES": "2.5"})
    assert str(raised.value).split("; ") == [
        "NAME_APP must be the name of this process, usable as a file's name: it is missing",
        "LOG_MAX_SIZE must be a positive number of MB: it was '-1'",
        "LOG_MAX_FILES must be a positive whole number: it was '2.5'",
        "PATH_TO_LOGS must be a folder that this process can write to: it is missing",
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LOG_MAX_SIZE", "1e308"),
        ("LOG_MAX_SIZE", "0.0000001"),
        ("PATH_TO_LOGS", "~nobody-of-that-name/logs"),
        ("RUN_ENVIRONMENT", "Testing"),
        ("NAME_APP", "a" * 201),
    ],
)
def test_a_value_that_cannot_be_used_is_shown(variable: str, value: str) -> None:
    with pytest.raises(ProfileError) as raised:
        read_profile({**GOOD, "RUN_ENVIRONMENT": "production", variable: value})
    problem = next(text for text in str(raised.value).split("; ") if text.startswith(variable))
    assert problem.endswith(f": it was {value[:80]!r}")


def test_a_folder_that_cannot_be_made_is_named_with_the_reason() -> None:
    with pytest.raises(ProfileError, match=r"it was '/dev/null/logs' \(Not a directory\)$"):
        read_profile({**GOOD, "RUN_ENVIRONMENT": "testing", "PATH_TO_LOGS": "/dev/null/logs"})


def test_a_child_has_a_name_of_its_own() -> None:
    environ = {**GOOD, "NAME_CHILD_PROCESS_NIGHTLY_IMPORT": " import "}
    assert child_environment(environ, "nightly-import") == {**environ, "NAME_APP": "import"}
    with pytest.raises(ProfileError, match=r"^NAME_CHILD_PROCESS_OTHER must be the name of this"):
        child_environment(environ, "other")
    with pytest.raises(ProfileError, match="must be another name than NAME_APP of the parent"):
        child_environment({**GOOD, "NAME_CHILD_PROCESS_IMPORT": "orders"}, "import")


def test_a_log_file_is_opened_on_a_line_of_its_own(tmp_path: Path) -> None:
    """A process that was killed inside a write leaves half a line."""
    path = tmp_path / "app.log"
    for _ in range(2):
        path.open("ab").close()
        os.close(open_log_file(str(path), os.O_WRONLY | os.O_APPEND))
    assert path.read_bytes() == b""
    path.write_bytes(b"half")
    for _ in range(2):
        os.close(open_log_file(str(path), os.O_WRONLY | os.O_APPEND))
    assert path.read_bytes() == b"half\n"
