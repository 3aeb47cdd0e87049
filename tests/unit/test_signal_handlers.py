"""Installing signal handlers: what is refused, and what is left alone."""

import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from sovdev_logger import sovdev_install_signal_handlers
from sovdev_logger._runtime import signal_handlers
from support.service import Started

Start = Callable[..., Started]


@pytest.fixture(autouse=True)
def handlers_are_put_back() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_before_initialisation_it_is_refused() -> None:
    with pytest.raises(RuntimeError, match="sovdev_initialize"):
        sovdev_install_signal_handlers()


def test_initialisation_alone_takes_no_signal(start: Start) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    start()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_both_signals_are_taken_once(start: Start) -> None:
    start()
    sovdev_install_signal_handlers()
    taken = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert all(isinstance(one, signal_handlers.SignalHandler) for one in taken)
    sovdev_install_signal_handlers()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == taken


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, 0, 4711, "SIGTERM", None])
def test_what_cannot_be_handled_is_an_error_that_names_it(start: Start, number: object) -> None:
    start()
    before = signal.getsignal(signal.SIGUSR1)
    with pytest.raises(ValueError, match=r"signal|handler"):
        sovdev_install_signal_handlers([signal.SIGUSR1, number])  # type: ignore[list-item]
    assert signal.getsignal(signal.SIGUSR1) == before


def test_in_another_thread_it_is_an_error_that_says_where(start: Start) -> None:
    start()
    errors: list[Exception] = []

    def install() -> None:
        try:
            sovdev_install_signal_handlers()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=install)
    thread.start()
    thread.join()
    assert isinstance(errors[0], RuntimeError)
    assert "main thread" in str(errors[0])


def test_a_handler_that_is_not_pythons_is_left_in_place(
    start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start()
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    sovdev_install_signal_handlers((signal.SIGUSR1,))
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    assert "SIGUSR1 has a handler that was not set by Python" in capsys.readouterr().err


def test_an_earlier_handler_that_raises_is_not_held_back(start: Start) -> None:
    def fail(number: int, frame: object) -> None:
        raise LookupError("theirs")

    signal.signal(signal.SIGUSR1, fail)
    start()
    sovdev_install_signal_handlers((signal.SIGUSR1,))
    for _ in range(2):
        with pytest.raises(LookupError, match="theirs"):
            signal.raise_signal(signal.SIGUSR1)
