"""Look up four companies in the Norwegian register, as a batch job that logs what it does.

By default it talks to a small register that it starts itself; ``--live`` asks the real one. It
writes 17 entries, the same in every language that has this library.
"""

import argparse
import json
import os
import urllib.error
import urllib.request
from contextlib import nullcontext

from register import local_register

from sovdev_logger import (
    SOVDEV_LOGLEVELS,
    create_peer_services,
    sovdev_end_span,
    sovdev_flush,
    sovdev_initialize,
    sovdev_log,
    sovdev_log_job_progress,
    sovdev_log_job_status,
    sovdev_start_span,
)

LIVE_REGISTER = "https://data.brreg.no/enhetsregisteret/api/enheter/"
NUMBERS = ("971277882", "915933149", "974652846", "916201478")
JOB = "CompanyLookupBatch"
INFO, ERROR = SOVDEV_LOGLEVELS.INFO, SOVDEV_LOGLEVELS.ERROR
PEER = create_peer_services({"BRREG": "SYS1234567"})


class LookupFailedError(Exception):
    """The register did not give the company."""


def fetch(register: str, number: str) -> dict[str, object]:
    """Return the register's answer for one company."""
    try:
        with urllib.request.urlopen(register + number, timeout=10) as answer:
            company: dict[str, object] = json.load(answer)
            return company
    except urllib.error.HTTPError as error:
        with error:
            raise LookupFailedError(f"HTTP {error.code}: {error.read().decode()}") from None


def look_up(register: str, number: str) -> None:
    """Look one company up inside a span; both entries carry its trace id."""
    asked = {"organisasjonsnummer": number}
    span = sovdev_start_span("lookupCompany", asked, peer_service=PEER.BRREG)
    try:
        sovdev_log(INFO, "lookupCompany", f"Looking up company {number}", PEER.BRREG, asked)
        company = fetch(register, number)
        form = company["organisasjonsform"]
        found = {
            "navn": company["navn"],
            "organisasjonsform": form["beskrivelse"] if isinstance(form, dict) else form,
        }
        message = f"Company found: {company['navn']}"
        sovdev_log(INFO, "lookupCompany", message, PEER.BRREG, asked, found)
    except Exception as error:
        message = f"Failed to lookup company {number}"
        sovdev_log(ERROR, "lookupCompany", message, PEER.BRREG, asked, None, error)
        sovdev_end_span(span, error)
        raise
    sovdev_end_span(span)


def look_up_all(register: str) -> None:
    """Look every company up; one that fails does not stop the batch."""
    total, failed = len(NUMBERS), 0
    started = {"totalCompanies": total}
    sovdev_log_job_status(INFO, "batchLookup", JOB, "Started", PEER.INTERNAL, started)
    for item, number in enumerate(NUMBERS, start=1):
        asked = {"organisasjonsnummer": number}
        sovdev_log_job_progress(INFO, "batchLookup", number, item, total, PEER.BRREG, asked)
        try:
            look_up(register, number)
        except Exception as error:  # noqa: BLE001 - the batch goes on, whatever one item meets
            failed += 1
            message = f"Batch item {item} failed"
            context = {**asked, "itemNumber": item}
            sovdev_log(ERROR, "batchLookup", message, PEER.BRREG, context, None, error)
    successful = total - failed
    summary = {
        "totalCompanies": total,
        "successful": successful,
        "failed": failed,
        "successRate": f"{round(100 * successful / total)}%",
    }
    sovdev_log_job_status(INFO, "batchLookup", JOB, "Completed", PEER.INTERNAL, summary)


def main() -> None:
    """Run the batch and wait until everything is delivered."""
    parser = argparse.ArgumentParser(description="Look up four companies and log it.")
    parser.add_argument("--live", action="store_true", help="ask the real register")
    live = parser.parse_args().live
    service_name = os.environ.get("OTEL_SERVICE_NAME") or "sovdev-test-company-lookup-python"
    sovdev_initialize(service_name, "1.0.0", PEER.mappings)
    sovdev_log(INFO, "main", "Company Lookup Service started", PEER.INTERNAL)
    with nullcontext(LIVE_REGISTER) if live else local_register() as register:
        look_up_all(register)
    sovdev_log(INFO, "main", "Company Lookup Service finished", PEER.INTERNAL)
    sovdev_flush()


if __name__ == "__main__":
    main()
