"""The relay output against a receiver that is as strict as the real one."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from sovdev_logger import (
    SOVDEV_LOGLEVELS,
    sovdev_flush,
    sovdev_log,
    sovdev_set_context,
    sovdev_shutdown,
    sovdev_start_span,
    sovdev_status,
    sovdev_test_connection,
    sovdev_validate_config,
)
from support import relay_pb2 as wire
from support.certificates import Certificates
from support.processes import run
from support.relay import FakeRelay
from support.service import Started

Start = Callable[..., Started]


@pytest.fixture
def relay() -> Iterator[FakeRelay]:
    with FakeRelay() as relay:
        yield relay


@pytest.fixture
def start_with(start: Start, relay: FakeRelay) -> Start:
    def start_it(**options: Any) -> Started:
        return start(RELAY_TARGETS=relay.target, **options)

    return start_it


def log(count: int = 1, message: str = "User {} logged in", **more: Any) -> None:
    for number in range(count):
        sovdev_log("info", "f", message.format(number), None, **more)


def status(name: str = "relay") -> Any:
    return sovdev_status().outputs[name]


def test_an_entry_has_every_field_of_the_schema(start_with: Start, relay: FakeRelay) -> None:
    running = start_with()
    sovdev_set_context(acting_user="kari")
    with sovdev_start_span("work") as span:
        sovdev_log("error", "look_up", "Failed", "BRREG", {"msg": 1}, [True], ValueError("x"))
    sovdev_flush()
    (entry,) = relay.entries
    kept = running.last
    own = {"timestamp", "level", "message"}
    expected = {name: value for name, value in kept.items() if name not in own}
    assert entry == {
        **expected,
        "log_schema": "electrician.log.v1",
        "ts": kept["timestamp"].replace("+00:00", "Z"),
        "level": "error",
        "msg": "Failed",
        "logger": "orders",
        "caller": "look_up",
        "component": {"id": kept["session_id"], "type": "service", "name": "orders"},
        "event": "transaction",
        "result": "failure",
        "error": "x",
    }
    assert entry["span_id"] == span.span_id
    assert relay.ids == [kept["event_id"]]


def test_the_stream_is_opened_as_the_reference_does(start_with: Start, relay: FakeRelay) -> None:
    start_with(RELAY_HEADERS="X-Team=a, x-env = prod")
    log()
    sovdev_flush()
    opening, metadata = relay.opens[0]
    assert len(opening.stream_id) == 64
    assert opening.ack_mode == wire.ACK_BATCH
    assert (opening.ack_every_n, opening.omit_payload_metadata) == (64, True)
    assert opening.defaults.content_type == "application/octet-stream"
    assert (metadata["x-team"], metadata["x-env"]) == ("a", "prod")


@pytest.mark.parametrize("level", list(SOVDEV_LOGLEVELS))
def test_trace_is_sent_as_debug(start_with: Start, relay: FakeRelay, level: str) -> None:
    start_with()
    sovdev_log(level, "f", "x", None)
    sovdev_flush()
    (entry,) = relay.entries
    assert entry["level"] == ("debug" if level == "trace" else level)
    assert entry.get("original_level") == ("trace" if level == "trace" else None)
    assert entry["result"] == ("failure" if level in {"error", "fatal"} else "success")


@pytest.mark.parametrize("every", ["1", "64", "1000"])
@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000])
def test_all_arrive_whatever_the_batches_are(
    start_with: Start, relay: FakeRelay, every: str, count: int
) -> None:
    start_with(RELAY_ACK_EVERY_N=every)
    for _ in range(2):
        log(count)
        sovdev_flush()
    assert relay.messages == [f"User {n} logged in" for n in range(count)] * 2
    ledger = status()
    assert (ledger.delivered, ledger.dropped, ledger.repeated) == (2 * count, 0, 0)


LYING = [
    wire.StreamAcknowledgment(last_seq=3, ok_count=2**32 - 1),
    wire.StreamAcknowledgment(last_seq=3, ok_count=2**32 - 1, err_count=2**32 - 1),
    wire.StreamAcknowledgment(last_seq=2**64 - 1, ok_count=3),
    wire.StreamAcknowledgment(seq=2**64 - 1, ok_count=3),
]


@pytest.mark.parametrize("lie", LYING)
@pytest.mark.parametrize("success", [True, False])
def test_a_relay_that_acknowledges_what_it_was_not_sent_does_not_break_the_ledger(
    start_with: Start, relay: FakeRelay, lie: wire.StreamAcknowledgment, success: bool
) -> None:
    start_with(RELAY_ACK_EVERY_N="1")
    lie.success = success
    relay.junk = lie.SerializeToString()
    log()
    sovdev_flush()
    relay.junk = None
    before = status()
    log(3)
    sovdev_flush()
    ledger = status()
    assert ledger.logged == 4 == ledger.delivered + ledger.dropped
    assert (before.logged, before.delivered + before.dropped) == (1, 1)
    # The honest acknowledgements that follow are waited for, and count.
    assert ledger.repeated == 0
    assert ledger.delivered - before.delivered == 3
    assert relay.messages[-3:] == [f"User {number} logged in" for number in range(3)]


def test_a_relay_that_acknowledges_one_entry_thrice_has_one(
    start_with: Start, relay: FakeRelay
) -> None:
    start_with(RELAY_ACK_EVERY_N="1", RELAY_STALL_TIMEOUT="0.5")
    relay.junk = wire.StreamAcknowledgment(success=True, seq=1).SerializeToString()
    log(3)
    sovdev_flush()
    relay.junk = None
    sovdev_flush()
    ledger = status()
    assert (ledger.logged, ledger.delivered, ledger.dropped) == (3, 3, 0)
    assert ledger.repeated > 0  # the others were sent again


def test_a_stream_goes_on_over_full_batches(start_with: Start, relay: FakeRelay) -> None:
    start_with(RELAY_MAX_IN_FLIGHT="64")
    log(640)
    sovdev_flush()
    assert len(relay.entries) == 640
    assert len(relay.opens) <= 3


def test_one_record_can_be_acknowledged_at_a_time(start_with: Start, relay: FakeRelay) -> None:
    start_with(RELAY_ACK_EVERY_N="1")
    log(200)
    sovdev_flush()
    assert relay.opens[0][0].ack_mode == wire.ACK_PER_MESSAGE
    assert len(relay.entries) == 200
    assert len(relay.opens) == 1, "no need to end the stream"


@pytest.mark.parametrize("every", ["1", "64"])
def test_rejected_entries_are_counted_and_never_sent_again(
    start_with: Start, relay: FakeRelay, every: str, capsys: pytest.CaptureFixture[str]
) -> None:
    start_with(RELAY_ACK_EVERY_N=every)
    seen = []

    def reject(entry: dict[str, Any]) -> str | None:
        seen.append(entry["msg"])
        return "no thanks" if entry["msg"].startswith("User 7") else None

    relay.rejects = reject
    log(100)
    sovdev_flush()
    sovdev_flush()
    ledger = status()
    assert (ledger.delivered, ledger.dropped) == (89, 11)
    assert len(seen) == 100
    assert "the server rejected 11 relay entries" in capsys.readouterr().err


def test_every_target_gets_every_entry(start: Start, relay: FakeRelay) -> None:
    with FakeRelay() as other:
        start(RELAY_TARGETS=f"{relay.target}, {other.target}")
        log(100)
        sovdev_flush()
        assert relay.messages == other.messages == [f"User {n} logged in" for n in range(100)]
        assert relay.ids == other.ids
        assert status("relay_1").delivered == status("relay_2").delivered == 100


def test_one_target_that_is_away_does_not_hold_the_other(start: Start, relay: FakeRelay) -> None:
    start(RELAY_TARGETS=f"127.0.0.1:9,{relay.target}", SOVDEV_EXIT_TIMEOUT_SECONDS="1")
    log(10)
    relay.wait_for(lambda r: len(r.entries) == 10)
    assert status("relay_1").delivered == 0


HOSTILE: list[Any] = [
    "\0", {"a\0b": "\ud800"}, float("nan"), [float("inf")], 2**64, {"n": -(2**60)}, b"\xff", {1, 2},
]  # fmt: skip


def test_hostile_values_are_taken(start_with: Start, relay: FakeRelay) -> None:
    start_with()
    for value in HOSTILE:
        sovdev_log("info", "f", f"m{value!s}", None, value, value, ValueError("\0"))
    sovdev_flush()
    assert len(relay.entries) == len(HOSTILE)
    assert relay.entries[4]["input_json"] == str(2**64)


def test_an_entry_that_is_too_large_is_cut(start_with: Start, relay: FakeRelay) -> None:
    start_with(SOVDEV_MAX_FIELD_BYTES="8000000")
    sovdev_log("info", "f", "m" * 100_000, None, {"text": "x" * 5_000_000})
    log()
    sovdev_flush()
    first, second = relay.entries
    assert first["too_large"] is True
    assert len(first["msg"]) == 65_536
    assert second["msg"] == "User 0 logged in"


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
    ],
)
def test_being_turned_away_is_told_loudly_and_asked_rarely(
    start_with: Start, relay: FakeRelay, code: grpc.StatusCode, capsys: pytest.CaptureFixture[str]
) -> None:
    start_with(SOVDEV_EXIT_TIMEOUT_SECONDS="1")
    relay.refuses = (code, "who are you")
    log(5)
    sovdev_flush()
    sovdev_flush()
    said = capsys.readouterr().err
    assert said.count("turns us away") == 1
    assert f"{code.name}: who are you" in said
    assert "this is not an outage" in said
    ledger = status()
    assert (ledger.delivered, ledger.dropped, ledger.repeated) == (0, 0, 0)


def test_a_stream_that_ends_too_soon_costs_nothing(start_with: Start, relay: FakeRelay) -> None:
    start_with()
    relay.ends_after = 100
    log(300)
    sovdev_flush()
    relay.ends_after = None
    relay.wait_for(lambda r: len(set(r.ids)) == 300)
    sovdev_flush()
    twice = len(relay.ids) - 300
    assert twice <= status().repeated, "each that is there twice was counted"
    assert status().dropped == 0


def test_what_was_acknowledged_is_not_sent_again(start_with: Start, relay: FakeRelay) -> None:
    start_with(RELAY_ACK_EVERY_N="10")
    relay.ends_after = 105
    log(200)
    sovdev_flush()
    relay.ends_after = None
    relay.wait_for(lambda r: len(set(r.ids)) == 200)
    repeated = [count for count in Counter(relay.ids).values() if count > 1]
    assert len(repeated) <= 2 * 9, "only the unacknowledged"


def test_a_full_receiver_is_silent_and_given_up(start_with: Start, relay: FakeRelay) -> None:
    start_with(
        RELAY_STALL_TIMEOUT="0.3", RELAY_SUBMIT_TIMEOUT="0.5", SOVDEV_EXIT_TIMEOUT_SECONDS="1"
    )
    log()
    sovdev_flush()
    relay.is_mute = True
    began = time.monotonic()
    log(100)
    assert time.monotonic() - began < 1
    sovdev_flush()
    assert time.monotonic() - began < 25
    assert status().last_error is not None
    relay.go_on()
    relay.wait_for(lambda r: len(set(r.ids)) == 101, 30)


def test_a_slow_receiver_gets_everything(start_with: Start, relay: FakeRelay) -> None:
    start_with()
    relay.pause_seconds = 0.002
    log(300)
    sovdev_flush()
    assert len(relay.entries) == 300
    assert status().repeated == 0


def test_a_receiver_that_comes_later(start: Start) -> None:
    with FakeRelay() as relay:
        port = relay.port
    start(RELAY_TARGETS=f"127.0.0.1:{port}")
    log(50)
    sovdev_flush()
    assert status().delivered == 0
    with FakeRelay(port) as again:
        again.wait_for(lambda r: len(r.entries) == 50, 30)
        sovdev_flush()
        assert again.messages == [f"User {n} logged in" for n in range(50)]
        assert status().dropped == 0
        sovdev_shutdown()


def test_what_is_left_is_sent_at_the_end(start_with: Start, relay: FakeRelay) -> None:
    start_with()
    log(50)
    sovdev_shutdown()
    assert len(relay.entries) == 50
    assert relay.closes == 1


# TLS and credentials.


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.mark.parametrize("server_name", ["", "relay.example"])
def test_over_tls_with_a_token(
    start: Start, certificates: Certificates, server_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "token-1")
    with FakeRelay(credentials=certificates.for_grpc()) as relay:
        relay.required_headers = {"authorization": "Bearer token-1"}
        start(
            RELAY_TARGETS=relay.target,
            RELAY_TLS_CA=str(certificates.ca),
            RELAY_TLS_SERVER_NAME=server_name,
            RELAY_BEARER_TOKEN_ENV="MY_TOKEN",
        )
        log(10)
        sovdev_flush()
        assert len(relay.entries) == 10
        assert sovdev_test_connection("relay").accepted


def test_a_certificate_that_is_not_trusted_is_told_loudly(
    start: Start,
    certificates: Certificates,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "other").mkdir()
    other = Certificates(tmp_path / "other")
    with FakeRelay(credentials=certificates.for_grpc()) as relay:
        start(RELAY_TARGETS=relay.target, RELAY_TLS_CA=str(other.ca))
        log()
        sovdev_flush()
        assert relay.entries == []
        said = capsys.readouterr().err
        assert "turns us away" in said
        assert "certificate_verify_failed" in said.lower()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"RELAY_TARGETS": "localhost"}, "RELAY_TARGETS holds 'localhost': expected host:port"),
        ({"RELAY_TARGETS": "localhost:0"}, "expected host:port"),
        ({"RELAY_TARGETS": ", ,"}, "RELAY_TARGETS names no target"),
        ({"RELAY_BEARER_TOKEN": "secret-1"}, "does not travel without TLS"),
        ({"RELAY_HEADERS": "authorization=Bearer secret-1"}, "does not travel without TLS"),
        (
            {"RELAY_HEADERS": "x-api-key=secret-1,Cookie=secret-1,source=a"},
            "the header cookie, x-api-key of the relay is a credential and does not travel without "
            "TLS: set RELAY_TLS_CA, or RELAY_TLS=true",
        ),
        (
            {"RELAY_BEARER_TOKEN": "secret-1", "SOVDEV_TRUSTED_NETWORK": "on"},
            "does not travel without TLS",
        ),
        (
            {"RELAY_BEARER_TOKEN": "secret-1", "RELAY_BEARER_TOKEN_ENV": "X"},
            "RELAY_BEARER_TOKEN and RELAY_BEARER_TOKEN_ENV are both set",
        ),
        ({"RELAY_BEARER_TOKEN_ENV": "NO_SUCH"}, "names NO_SUCH, which is not set"),
        ({"RELAY_HEADERS": "x"}, "RELAY_HEADERS holds a part"),
        (
            {"RELAY_TLS_CA": "/no/such/file"},
            "RELAY_TLS_CA='/no/such/file' is not usable: expected a file that this user may read",
        ),
        (
            {"RELAY_TLS_CERT": __file__, "RELAY_TLS_KEY": __file__ + "/key"},
            "RELAY_TLS_KEY=",
        ),
        ({"RELAY_TLS_CERT": __file__}, "RELAY_TLS_CERT and RELAY_TLS_KEY go together"),
        ({"RELAY_QUEUE_SIZE": "x"}, "RELAY_QUEUE_SIZE='x' is not usable"),
        ({"RELAY_ACK_EVERY_N": "0"}, "expected a whole number, 1 to 1024"),
        ({"RELAY_DROP_ON_FULL": "false"}, "no call waits for a relay"),
    ],
)
def test_what_cannot_be_used_is_said_and_the_others_work(
    start: Start, variables: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    running = start(**{"RELAY_TARGETS": "localhost:1", **variables})
    log()
    assert len(running.entries) == 1
    assert "relay" not in sovdev_status().outputs
    warning = capsys.readouterr().err
    assert said in warning
    assert "secret-1" not in warning
    assert any(said in sentence for sentence in sovdev_validate_config().doubtful)
    assert "secret-1" not in str(sovdev_validate_config())


def test_where_authentication_is_not_required_the_token_stays_here(
    start_with: Start, relay: FakeRelay, capsys: pytest.CaptureFixture[str]
) -> None:
    start_with(
        RELAY_BEARER_TOKEN="secret-1",
        RELAY_HEADERS="x-api-key=secret-2,x-source=a",
        RELAY_AUTH_REQUIRED="false",
    )
    log()
    sovdev_flush()
    assert len(relay.entries) == 1
    assert "authorization" not in relay.opens[0][1]
    assert "x-api-key" not in relay.opens[0][1]
    assert relay.opens[0][1]["x-source"] == "a"
    assert "is not sent: it does not travel without TLS" in capsys.readouterr().err


def test_the_connection_can_be_tested(relay: FakeRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sovdev_test_connection("relay").message == "off: RELAY_TARGETS is not set."
    monkeypatch.setenv("RELAY_TARGETS", relay.target)
    result = sovdev_test_connection("relay")
    assert (result.reached, result.accepted) == (True, True)
    relay.refuses = (grpc.StatusCode.UNAUTHENTICATED, "who")
    result = sovdev_test_connection("relay")
    assert (result.reached, result.accepted, result.status) == (True, False, 16)
    assert type(result.status) is int
    monkeypatch.setenv("RELAY_TARGETS", "127.0.0.1:9")
    result = sovdev_test_connection("relay")
    assert (result.reached, result.accepted, result.status) == (False, False, None)
    assert relay.entries == []


def test_without_the_extra_the_others_work(tmp_path: Path) -> None:
    body = """
    import sys
    sys.modules["h2"] = None
    import sovdev_logger as log
    log.sovdev_initialize("orders")
    log.sovdev_log("info", "f", "x", None)
    print(sorted(log.sovdev_status().outputs))
    print(log.sovdev_test_connection("relay").message)
    """
    out, err = run(tmp_path, body, RELAY_TARGETS="127.0.0.1:9")
    assert "'file'" in out
    assert "'relay'" not in out
    assert "the extra relay is missing" in out
    assert err.count("WARNING") == 1
    assert "install sovdev-logger[relay]" in err


def test_it_needs_no_protobuf(relay: FakeRelay, tmp_path: Path) -> None:
    body = """
    import sys
    sys.modules["google.protobuf"] = None
    import sovdev_logger as log
    log.sovdev_initialize("orders")
    log.sovdev_log("info", "f", "x", None)
    log.sovdev_flush()
    """
    run(tmp_path, body, RELAY_TARGETS=relay.target)
    assert relay.messages == ["x"]


def test_an_acknowledgement_that_is_none_breaks_the_stream(
    start_with: Start, relay: FakeRelay
) -> None:
    start_with(RELAY_ACK_EVERY_N="1")
    relay.junk = b"\x0b\xff"
    log(5)
    sovdev_flush()
    assert "unreadable acknowledgement" in str(status().last_error)
    assert (status().delivered, status().dropped) == (0, 0)
    relay.junk = None
    relay.wait_for(lambda r: len(set(r.ids)) == 5 and status().delivered == 5)


def test_it_goes_together_with_sampling(start_with: Start, relay: FakeRelay) -> None:
    start_with(SOVDEV_SAMPLING="local", SOVDEV_SAMPLING_FALLBACK_RATE="0")
    log(10)
    sovdev_flush()
    assert len(relay.entries) == 1
    assert relay.entries[0]["sample_rate"] == 1.0


def test_after_a_fork(relay: FakeRelay, tmp_path: Path) -> None:
    body = """
    import os, signal, sys
    import sovdev_logger as log
    log.sovdev_initialize("orders")
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            log.sovdev_log("info", "f", f"child {number}", None)
            log.sovdev_flush()
            sys.exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    log.sovdev_log("info", "f", "parent", None)
    log.sovdev_flush()
    """
    run(tmp_path, body, RELAY_TARGETS=relay.target)
    assert sorted(relay.messages) == ["child 0", "child 1", "child 2", "parent"]
