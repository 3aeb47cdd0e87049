"""Spans: nesting, siblings, threads, tasks, and endings in any order."""

import asyncio
import contextvars
import copy
import gc
import threading
from collections.abc import Callable

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace

from sovdev_logger import (
    SovdevSpan,
    sovdev_carry,
    sovdev_end_span,
    sovdev_log,
    sovdev_start_span,
)
from sovdev_logger._service.instance import instance
from support.service import Started

Start = Callable[..., Started]


def log(message: str = "here", **options: str) -> None:
    sovdev_log("info", "main", message, None, **options)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def running(start: Start) -> Started:
    return start()


def place_of(entry: dict[str, str]) -> tuple[str, str | None]:
    return entry["trace_id"], entry.get("span_id")


def here(running: Started) -> tuple[str, str | None]:
    log()
    return place_of(running.last)


def ids(span: SovdevSpan) -> tuple[str, str]:
    return span.trace_id, span.span_id


def test_an_entry_in_a_span_carries_its_ids(running: Started) -> None:
    span = sovdev_start_span("work")
    assert here(running) == ids(span)
    sovdev_end_span(span)
    assert here(running)[1] is None


def test_without_a_span_each_entry_has_a_trace_of_its_own(running: Started) -> None:
    assert here(running)[0] != here(running)[0]


def test_a_nested_span_is_a_child_and_its_parent_becomes_active_again(running: Started) -> None:
    outer = sovdev_start_span("outer")
    inner = sovdev_start_span("inner")
    assert inner.trace_id == outer.trace_id
    assert inner.span_id != outer.span_id
    assert here(running) == ids(inner)
    sovdev_end_span(inner)
    assert here(running) == ids(outer)
    sovdev_end_span(outer)
    assert here(running)[1] is None


def test_siblings_share_the_parents_trace_and_roots_do_not(running: Started) -> None:
    with sovdev_start_span("parent") as parent:
        with sovdev_start_span("first") as first:
            pass
        with sovdev_start_span("second") as second:
            pass
    with sovdev_start_span("other") as other:
        pass
    assert {first.trace_id, second.trace_id} == {parent.trace_id}
    assert other.trace_id != parent.trace_id


def test_the_otel_context_agrees(running: Started) -> None:
    with sovdev_start_span("work") as span:
        current = trace.get_current_span().get_span_context()
        assert trace.format_trace_id(current.trace_id) == span.trace_id
        assert trace.format_span_id(current.span_id) == span.span_id
        assert current.trace_flags.sampled
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_span_of_other_instrumentation_is_the_parent(running: Started) -> None:
    foreign = trace.NonRecordingSpan(
        trace.SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=trace.TraceFlags(1))
    )
    with trace.use_span(foreign):
        assert here(running) == (f"{0xABC:032x}", f"{0xDEF:016x}")
        with sovdev_start_span("ours") as ours:
            assert ours.trace_id == f"{0xABC:032x}"
        assert here(running) == (f"{0xABC:032x}", f"{0xDEF:016x}")


def test_ending_the_outer_span_first_leaves_the_inner_one_active(running: Started) -> None:
    outer = sovdev_start_span("outer")
    inner = sovdev_start_span("inner")
    sovdev_end_span(outer)
    assert here(running) == ids(inner)
    sovdev_end_span(inner)
    assert here(running)[1] is None


def test_of_three_the_middle_one_may_end_first(running: Started) -> None:
    spans = [sovdev_start_span(name) for name in ("outer", "middle", "inner")]
    sovdev_end_span(spans[1])
    sovdev_end_span(spans[2])
    assert here(running) == ids(spans[0])
    sovdev_end_span(spans[0])


def test_ending_twice_is_harmless(running: Started) -> None:
    outer = sovdev_start_span("outer")
    inner = sovdev_start_span("inner")
    sovdev_end_span(inner)
    sovdev_end_span(inner)
    assert here(running) == ids(outer)
    sovdev_end_span(outer)
    sovdev_end_span(outer)


def test_threads_have_spans_of_their_own(running: Started) -> None:
    found: dict[str, tuple[str, str]] = {}
    barrier = threading.Barrier(4)

    def work(name: str) -> None:
        with sovdev_start_span(name) as span:
            barrier.wait(10)
            log(name)
            found[name] = ids(span)

    threads = [threading.Thread(target=work, args=(f"t{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len({trace_id for trace_id, _ in found.values()}) == 4
    assert {entry["message"]: place_of(entry) for entry in running.entries} == found


def test_a_thread_that_copies_the_context_continues_the_trace(running: Started) -> None:
    with sovdev_start_span("parent") as parent:
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(log, "in the thread"))
        thread.start()
        thread.join(10)
    assert place_of(running.last) == ids(parent)


def test_a_span_that_another_thread_ended_is_no_longer_active_here(running: Started) -> None:
    outer = sovdev_start_span("outer")
    span = sovdev_start_span("handed over")
    thread = threading.Thread(target=sovdev_end_span, args=(span,))
    thread.start()
    thread.join(10)
    assert here(running) == ids(outer)
    with sovdev_start_span("next") as following:
        assert following.trace_id == outer.trace_id
    assert here(running) == ids(outer)
    sovdev_end_span(outer)
    assert here(running)[1] is None


def test_tasks_have_spans_of_their_own_across_await(running: Started) -> None:
    found: dict[str, tuple[str, str]] = {}

    async def work(name: str, started: asyncio.Event, go: asyncio.Event) -> None:
        with sovdev_start_span(name) as span:
            started.set()
            await go.wait()
            log(name)
            found[name] = ids(span)

    async def main() -> None:
        go = asyncio.Event()
        started = [asyncio.Event() for _ in range(3)]
        with sovdev_start_span("parent") as parent:
            tasks = [asyncio.create_task(work(f"t{i}", s, go)) for i, s in enumerate(started)]
            for one in started:
                await one.wait()
            log("parent")
            found["parent"] = ids(parent)
            go.set()
            await asyncio.gather(*tasks)

    asyncio.run(main())
    assert {entry["message"]: place_of(entry) for entry in running.entries} == found
    assert len({trace_id for trace_id, _ in found.values()}) == 1
    assert len({span_id for _, span_id in found.values()}) == 4


def test_a_task_that_outlives_its_parent_span_keeps_the_trace(running: Started) -> None:
    async def main() -> SovdevSpan:
        go = asyncio.Event()

        async def later() -> None:
            await go.wait()
            log("later")

        with sovdev_start_span("parent") as parent:
            task = asyncio.create_task(later())
            await asyncio.sleep(0)
        go.set()
        await task
        return parent

    parent = asyncio.run(main())
    assert place_of(running.last) == ids(parent)


def test_a_given_trace_id_wins_and_keeps_the_span_only_when_it_is_the_spans(
    running: Started,
) -> None:
    with sovdev_start_span("work") as span:
        log(trace_id="order-17")
        assert place_of(running.last) == ("order-17", None)
        log(trace_id=span.trace_id)
        assert place_of(running.last) == ids(span)
        as_uuid = f"{span.trace_id[:8]}-{span.trace_id[8:12]}-{span.trace_id[12:16]}-" + (
            f"{span.trace_id[16:20]}-{span.trace_id[20:]}"
        )
        log(trace_id=as_uuid)
        assert place_of(running.last) == (as_uuid, span.span_id)


def test_a_with_statement_marks_the_span_failed_and_lets_the_error_through() -> None:
    with pytest.raises(KeyError), sovdev_start_span("work") as span:
        raise KeyError("x")
    assert span.ended


def test_a_context_that_others_attached_is_kept_when_they_close_after_us(running: Started) -> None:
    span = sovdev_start_span("ours")
    token = otel_context.attach(otel_context.set_value("baggage", "x"))
    sovdev_end_span(span)
    otel_context.detach(token)
    assert here(running)[1] is None


@pytest.mark.parametrize("wrong", ["a span", 17, object()])
def test_ending_something_else_is_harmless_and_warned_about(
    wrong: object, capsys: pytest.CaptureFixture[str]
) -> None:
    sovdev_end_span(wrong)  # type: ignore[arg-type]
    assert "sovdev_end_span ignored a" in capsys.readouterr().err


def test_ending_nothing_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    sovdev_end_span(None)  # type: ignore[arg-type]
    assert capsys.readouterr().err == ""


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


@pytest.mark.parametrize("attributes", [{"a": Hostile()}, Hostile(), {Hostile(): 1}, [1], "x", 5])
def test_no_attribute_raises(attributes: object) -> None:
    span = sovdev_start_span(Hostile(), attributes, peer_service="nobody")  # type: ignore[arg-type]
    sovdev_end_span(span, Hostile())  # type: ignore[arg-type]


def test_a_handle_shows_its_ids(running: Started) -> None:
    with sovdev_start_span("work") as span:
        assert repr(span) == f"SovdevSpan(trace_id={span.trace_id!r}, span_id={span.span_id!r})"


def test_a_deep_nest_is_left_step_by_step(running: Started) -> None:
    spans = [sovdev_start_span("level") for _ in range(3000)]
    while len(spans) > 1:
        sovdev_end_span(spans.pop())
        assert trace.format_span_id(span_id_here()) == spans[-1].span_id
    assert here(running) == ids(spans[0])
    sovdev_end_span(spans[0])


def span_id_here() -> int:
    return trace.get_current_span().get_span_context().span_id


def test_a_span_whose_handle_nobody_kept_becomes_active_again(running: Started) -> None:
    sovdev_start_span("the whole program")
    outer = here(running)
    with sovdev_start_span("work") as span:
        assert span.trace_id == outer[0]
    assert here(running) == outer


def test_a_span_that_nobody_can_end_any_more_is_warned_about_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = sovdev_start_span("kept")
    assert capsys.readouterr().err == ""
    for name in ("first", "second"):
        sovdev_start_span(name)
    assert capsys.readouterr().err == (
        "[sovdev-logger] WARNING: the span 'first' was never ended and its handle is gone, so it "
        "will not be exported: keep what sovdev_start_span returns and pass it to "
        "sovdev_end_span, or use it in a with statement.\n"
    )
    sovdev_end_span(kept)


def test_copies_of_a_handle_are_the_handle(capsys: pytest.CaptureFixture[str]) -> None:
    span = sovdev_start_span("copied")
    assert copy.copy(span) is copy.deepcopy([span])[0] is span
    sovdev_end_span(span)
    del span
    gc.collect()
    assert capsys.readouterr().err == ""


def test_a_span_of_a_request_that_never_ends_is_not_the_callers_to_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert instance.service is not None
    instance.service.spans.start("GET", None, None, trace.SpanKind.SERVER)
    assert capsys.readouterr().err == ""


def test_what_others_put_into_the_context_outlives_a_span_that_ended_elsewhere() -> None:
    span = sovdev_start_span("handed over")
    otel_context.attach(otel_context.set_value("baggage", "x"))
    contextvars.Context().run(sovdev_end_span, span)
    with sovdev_start_span("next") as following:
        assert following.trace_id != span.trace_id
        assert otel_context.get_value("baggage") == "x"
    assert otel_context.get_value("baggage") == "x"


def test_a_task_at_the_address_of_an_ended_one_keeps_the_trace_that_it_inherited(
    running: Started,
) -> None:
    async def main() -> tuple[SovdevSpan, set[int]]:
        go = asyncio.Event()
        addresses: set[int] = set()

        async def note(number: int) -> None:
            addresses.add(id(asyncio.current_task()))
            log(str(number))

        async def later() -> None:
            await go.wait()
            for number in range(50):
                await asyncio.create_task(note(number))

        async def first() -> tuple[SovdevSpan, int, "asyncio.Task[None]"]:
            with sovdev_start_span("parent") as parent:
                return parent, id(asyncio.current_task()), asyncio.create_task(later())

        parent, address, task = await asyncio.create_task(first())
        go.set()
        await task
        return parent, {address} & addresses

    parent, same_address = asyncio.run(main())
    assert {place_of(entry) for entry in running.entries} == {ids(parent)}
    if not same_address:
        pytest.skip("no address was used again")


def test_a_thread_with_the_number_of_an_ended_one_keeps_the_trace_that_it_was_given(
    running: Started,
) -> None:
    given: list[tuple[SovdevSpan, Callable[..., None]]] = []

    def first() -> None:
        with sovdev_start_span("parent") as parent:
            given.append((parent, sovdev_carry(log)))

    for _ in range(100):
        number = number_of_a_thread(first)
        parent, later = given.pop()
        is_again = number_of_a_thread(later) == number
        assert place_of(running.last) == ids(parent)
        if is_again:
            return
    pytest.skip("no number was used again")


def number_of_a_thread(work: Callable[..., None]) -> int | None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    return thread.ident
