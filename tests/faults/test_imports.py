"""Nothing is imported once the service runs: a fork amid an import leaves a lock behind.

A child that imports the same module then waits for a thread that it does not have.
"""

import json
from pathlib import Path

import pytest

from support.lipservice import FakeLipService
from support.logwell import KEY, FakeLogwell
from support.otlp_receiver import OtlpReceiver
from support.processes import breaks_with, program, run
from support.relay import FakeRelay

BODY = """
import json
before = set(sys.modules)

def work():
    with log.sovdev_start_span("work", {"a": 1}, peer_service="BRREG"):
        for number in range(200):
            log.sovdev_log("info", "f", f"password=hunter2 {number}", "BRREG", {"a": {1}}, [b"x"])
    try:
        raise ValueError("wrong")
    except ValueError as error:
        log.sovdev_log("error", "f", "failed", None, None, None, error)
    log.sovdev_set_context(client_name="web")
    log.sovdev_log_job_status("info", "f", "job", "Started", None)
    time.sleep(0.5)
    log.sovdev_flush()
    log.sovdev_status()

work()
child = os.fork()
if child == 0:
    work()
    with open("child.json", "w") as said:
        json.dump(sorted(set(sys.modules) - before), said)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
log.sovdev_shutdown()
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.mark.parametrize("outputs", ["file", "all"])
@breaks_with(the_file_imports_something_late="['colorsys'] == []")
def test_nothing_is_imported_after_the_start(tmp_path: Path, outputs: str) -> None:
    with (
        OtlpReceiver() as otlp,
        FakeLogwell() as logwell,
        FakeRelay() as relay,
        FakeLipService() as lipservice,
    ):
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.endpoint,
            "LOGWELL_ENDPOINT": logwell.url,
            "LOGWELL_API_KEY": KEY,
            "RELAY_TARGETS": relay.target,
            "SOVDEV_SAMPLING": "lipservice",
            "LIPSERVICE_URL": lipservice.url,
            "LIPSERVICE_TEAM_ID": "7",
            "LIPSERVICE_PATTERN_REPORT_INTERVAL": "0.1",
        }
        out, _ = run(tmp_path, program(BODY), variables if outputs == "all" else {})
    assert json.loads(out) == []
    assert json.loads((tmp_path / "child.json").read_text()) == []
