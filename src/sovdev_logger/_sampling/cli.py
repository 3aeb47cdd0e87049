"""``python -m sovdev_logger.sampling explain FILE``: what sampling would do to a log file."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path

from sovdev_logger._safety.one_line import notice_line
from sovdev_logger._sampling.explain import Explanation, explain, format_table, service_name_in
from sovdev_logger._sampling.lipservice_client import fetch_policy
from sovdev_logger._sampling.policy import LOCAL_DEFAULTS, Policy, PolicyError, parse_policy
from sovdev_logger._settings.reader import EnvironmentReader
from sovdev_logger._settings.sampling import read_lipservice

DEFAULT_ROWS = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, or 2 for an input that cannot be used."""
    parsed = _parser().parse_args(arguments)
    try:
        if parsed.file == "-":
            explanation = _explanation(sys.stdin.buffer, parsed)
        else:
            with Path(parsed.file).open("rb") as lines:
                explanation = _explanation(lines, parsed)
    except (OSError, PolicyError) as error:
        sys.stderr.write(f"{notice_line(f'explain: {error}')}\n")
        return 2
    text = format_table(explanation, parsed.rows, shutil.get_terminal_size((120, 24)).columns)
    sys.stdout.write(f"{text}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sovdev_logger.sampling", description="Adaptive sampling, explained."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    command = commands.add_parser(
        "explain",
        help="show the patterns of a log file, and what the policy keeps of each",
        description="Shows the patterns of a log file by volume, and what the policy keeps of "
        "each. The policy is the service's at LipService where LIPSERVICE_URL and "
        "LIPSERVICE_TEAM_ID are set, else the local defaults.",
    )
    command.add_argument("file", metavar="FILE", help="entries as JSON lines, or text; - is stdin")
    command.add_argument("--policy", metavar="JSON", help="a file with a policy, as LipService's")
    command.add_argument("--service", help="whose policy it is; default is what the file says")
    command.add_argument(
        "--rows", type=int, default=DEFAULT_ROWS, help=f"patterns shown (default {DEFAULT_ROWS})"
    )
    return parser


def _explanation(lines: Iterable[bytes], parsed: argparse.Namespace) -> Explanation:
    lines = iter(lines)
    head = list(islice(lines, 1))
    service = parsed.service or (service_name_in(head[0]) if head else None)
    return explain(chain(head, lines), _policy(parsed.policy, service))


def _policy(path: str | None, service: str | None) -> Policy:
    if path is not None:
        try:
            return parse_policy(json.loads(Path(path).read_bytes()))
        except ValueError as error:
            raise PolicyError(f"{path} is not a policy: {error}") from error
    if service is None or not os.environ.get("LIPSERVICE_URL"):
        return LOCAL_DEFAULTS
    env = EnvironmentReader(os.environ)
    settings = read_lipservice(env)
    if settings is None:
        raise PolicyError(" ".join(problem.message for problem in env.problems))
    return fetch_policy(settings, service)
