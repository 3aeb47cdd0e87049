"""Spans that end elsewhere, late or never: a call costs the same, and nothing is kept."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.otlp_receiver import OtlpReceiver
from support.processes import breaks_with, program, run

MORE_CALLS = 100
"""How many functions more a call may call inside a span, or after one; a chain adds some a span."""

MORE_OBJECTS = 20
"""What a task, a thread and their contexts keep."""

BODY = """
import asyncio, concurrent.futures, contextvars, gc, json, queue

spans = int(os.environ["SPANS"])
found, count = {}, 0

def log_one():
    log.sovdev_log("info", "f", "m", None)

def start_and_end():
    log.sovdev_end_span(log.sovdev_start_span("another"))

def note(frame, event, argument):
    global count
    count += event in {"call", "c_call"}

def calls(function):
    global count
    count = 0
    sys.setprofile(note)
    function()
    sys.setprofile(None)
    return count

def objects():
    gc.collect()
    kinds = {"Context", "SovdevSpan", "SpanScope", "_Span", "NonRecordingSpan", "SpanContext"}
    return sum(type(one).__name__ in kinds for one in gc.get_objects())

def look():
    return min(calls(log_one) for _ in range(5)), calls(start_and_end), objects()

def plain(case):
    # In a context of its own, in this thread and outside of asyncio.
    def repeat():
        start_and_end()
        before = look()
        step = case()
        for _ in range(spans):
            next(step)
        found[case.__name__] = before, look()
    contextvars.Context().run(repeat)

def in_a_task(case):
    async def repeat():
        start_and_end()
        before = look()
        for _ in range(spans):
            await case()
        found[case.__name__] = before, look()
    contextvars.Context().run(asyncio.run, repeat())

def start():
    return log.sovdev_start_span("work")

@plain
def in_the_same_place():
    while True:
        with start(), start():
            pass
        yield

@plain
def never():
    while True:
        start()
        yield

@plain
def never_inside_of_one_that_is_ended():
    while True:
        with start():
            start()
        yield

@plain
def in_another_thread():
    with concurrent.futures.ThreadPoolExecutor(1) as other:
        while True:
            other.submit(log.sovdev_end_span, start()).result()
            yield

@plain
def in_a_thread_with_the_context():
    with concurrent.futures.ThreadPoolExecutor(1) as other:
        while True:
            span = start()
            other.submit(log.sovdev_carry(log.sovdev_end_span), span).result()
            yield

@plain
def after_the_next_has_started():
    before = start()
    while True:
        span = start()
        log.sovdev_end_span(before)
        before = span
        yield

@plain
def in_another_context():
    while True:
        context = contextvars.copy_context()
        log.sovdev_end_span(context.run(start))
        context.run(log_one)
        yield

@plain
def in_a_generator_that_is_closed_late():
    def numbers():
        with start():
            yield 1
    while True:
        late = numbers()
        next(late)
        contextvars.Context().run(late.close)
        yield

@plain
def below_a_foreign_span_that_stays():
    from opentelemetry import context, trace
    while True:
        span = start()
        foreign = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=True))
        context.attach(trace.set_span_in_context(foreign))
        log.sovdev_end_span(span)
        yield

@in_a_task
async def in_a_callback():
    asyncio.get_running_loop().call_soon(log.sovdev_end_span, start())
    await asyncio.sleep(0)

@in_a_task
async def in_another_task():
    span = start()
    async def end():
        log.sovdev_end_span(span)
    async with asyncio.TaskGroup() as group:
        group.create_task(end())

@in_a_task
async def in_to_thread():
    await asyncio.to_thread(log.sovdev_end_span, start())

@in_a_task
async def started_in_to_thread():
    log.sovdev_end_span(await asyncio.to_thread(start))

@in_a_task
async def in_an_async_generator_that_is_closed_late():
    async def numbers():
        with start():
            yield 1
    async for _ in numbers():
        break  # asyncio closes it, in a task of its own
    await asyncio.sleep(0)

async def in_a_chain_of_tasks():
    loop = asyncio.get_running_loop()
    start_and_end()
    before, done = look(), loop.create_future()
    async def link(left):
        with start():
            if left:
                links.append(asyncio.create_task(link(left - 1)))
            else:
                done.set_result(look())
        await asyncio.sleep(0)
        links.pop(0)
    links = [asyncio.create_task(link(spans))]
    found["in_a_chain_of_tasks"] = before, await done
    await asyncio.sleep(0.01)

asyncio.run(in_a_chain_of_tasks())
print(json.dumps(found))
"""

CASES = 15


@breaks_with(
    contexts_hold_what_was_before="grown == {}",
    ended_spans_lead_to_ended_ones="grown == {}",
)
@pytest.mark.parametrize("with_otlp", [False, True])
def test_spans_that_end_elsewhere_or_never_leave_nothing(
    tmp_path: Path, with_otlp: bool, sized: Callable[..., int]
) -> None:
    spans = sized(100, full=2_000, soak=20_000)
    with OtlpReceiver() as receiver:
        receiver.forget_requests = True
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint} if with_otlp else {}
        out, err = run(
            tmp_path,
            program(BODY),
            variables,
            timeout_seconds=60 + spans / 100,
            SPANS=str(spans),
        )
    found = json.loads(out)
    assert len(found) == CASES
    grown = {
        case: (before, after)
        for case, (before, after) in found.items()
        if max(after[0] - before[0], after[1] - before[1]) > MORE_CALLS
        or after[2] - before[2] > MORE_OBJECTS
    }
    assert grown == {}
    assert err.count("was never ended") == 1


def test_a_child_that_ends_inside_its_parents_span_is_not_warned(tmp_path: Path) -> None:
    body = """
    def fork():
        span = log.sovdev_start_span("the parent's")
        child = os.fork()
        if not child:
            sys.exit()
        os.waitpid(child, 0)
        log.sovdev_end_span(span)
    fork()
    """
    _, err = run(tmp_path, program(body))
    assert err == ""
