"""Programs that close every descriptor, ours too, and use the numbers again."""

import os
import socket
from pathlib import Path

import pytest

from sovdev_logger._delivery.http_transport import HttpTransport
from sovdev_logger._settings.endpoint import HttpEndpoint
from support.otlp_receiver import OtlpReceiver
from support.processes import breaks_with, run
from support.service import read_lines

LINES = 200

CLOSES_ALL = f"""
import os
import sovdev_logger as log
from sovdev_logger._outputs import json_file
json_file._PATH_CHECK_INTERVAL_NS = 10**12  # all of it happens between two checks of the path
log.sovdev_initialize("svc")
def say(text):
    log.sovdev_log(log.SOVDEV_LOGLEVELS.INFO, "main", text, "INTERNAL")
say("before")
os.closerange(3, 4096)
files = [open(f"own-{{number}}", "wb", buffering=0) for number in range(40)]
for number in range({LINES}):
    say(str(number))
print(sum(os.fstat(file.fileno()).st_size for file in files))
"""


@breaks_with(log_file_has_a_low_number='assert taken == "0"')
def test_no_line_goes_into_what_a_program_opens_after_it_closed_all(tmp_path: Path) -> None:
    out, _ = run(tmp_path, CLOSES_ALL)
    taken = out.splitlines()[0]
    assert taken == "0"
    lines = [line["message"] for line in read_lines(tmp_path / "dev.log")]
    assert lines == ["before", *map(str, range(LINES))]


@pytest.mark.parametrize("then", ["post", "close", "abort"])
def test_a_connection_leaves_a_number_that_became_the_programs(then: str) -> None:
    ours, theirs = socket.socketpair()
    with OtlpReceiver() as receiver, ours, theirs:
        transport = HttpTransport(HttpEndpoint(f"{receiver.endpoint}/v1/logs"))
        assert transport.post(b"").accepted
        connection = transport._connection
        assert connection is not None
        assert connection.sock is not None
        number = connection.sock.fileno()
        os.dup2(ours.fileno(), number)
        with socket.socket(fileno=number) as program:
            if then == "post":
                assert transport.post(b"").accepted
            elif then == "abort":
                transport.abort()
            transport.close()
            program.sendall(b"mine")
            assert theirs.recv(100) == b"mine"
