import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import pytest

from lightning_primo.search.interrupt import Interrupt
from tests.forks import Forks
from tests.lean_imports import search_path

ROOT = Path(__file__).parents[2]


class Swallows:
    """Is interrupted in its finaliser, where Python prints the exception and goes on."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass


class Fails:
    """Raises in its finaliser."""

    def __del__(self) -> None:
        raise ValueError


def test_an_interrupt_that_python_forgets_is_remembered_and_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: printed.append(unraisable.exc_type))
    before = sys.unraisablehook
    with Interrupt() as interrupt:
        interrupt.check()
        Swallows()
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
        assert printed == []
        Fails()
    assert printed == [ValueError]
    assert sys.unraisablehook is before


def test_tests_that_are_started_where_it_is_ignored_hear_it(tmp_path: Path) -> None:
    check = tmp_path / "test_it.py"
    check.write_text(CHECK)
    (tmp_path / "conftest.py").write_text((Path(__file__).parents[1] / "conftest.py").read_text())
    command = shlex.join([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(check)])
    run = subprocess.run(["sh", "-c", f"trap '' INT; {command}"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


CHECK = """
import signal, subprocess, sys

def test_it():
    code = "import signal; assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    subprocess.run([sys.executable, "-c", code], check=True)
"""


def test_it_interrupts_at_once_where_it_can_and_puts_the_handler_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Interrupt():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_handler_of_the_users_is_called() -> None:
    seen = []

    def handler(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    before = signal.signal(signal.SIGINT, handler)
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                interrupt.check()
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]


def test_in_another_thread_it_does_nothing() -> None:
    errors = []

    def body() -> None:
        try:
            with Interrupt() as interrupt:
                interrupt.check()
        except ValueError as error:  # what signal.signal raises outside the main thread
            errors.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert not errors


def test_what_compiled_code_forgets_is_not_printed_either(monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, traceback: printed.append(kind))
    before = sys.excepthook
    with Interrupt():
        for error in (KeyboardInterrupt(), ValueError()):
            sys.excepthook(type(error), error, None)  # as Cython does where a function cannot raise
    assert printed == [ValueError]
    assert sys.excepthook is before


def test_a_sigterm_ends_with_the_exit_code_of_shells_and_its_handler_is_put_back() -> None:
    with pytest.raises(SystemExit) as caught, Interrupt():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_handler_of_sigterm_of_the_users_stays() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        with Interrupt():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


SEARCH = """
import sys
from lightning_primo import RandomSearch
from tests.search.resume_script import make_search

if __name__ == "__main__":
    search = make_search(sys.argv[1], algorithm=RandomSearch(), workers=int(sys.argv[2]))
    search.run(trials=10_000, progress=False)
"""


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_search_that_is_terminated_says_so(forks: Forks, tmp_path: Path, workers: int) -> None:
    script = tmp_path / "script.py"
    script.write_text(SEARCH)
    with forks.started([script, tmp_path, str(workers)], env={"PYTHONPATH": search_path(ROOT)}) as process:
        while not (tmp_path / "trials" / "00002").exists():
            assert process.runs(), process.stderr
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait() == 143
    assert "stopped by SIGTERM after" in process.stderr
    assert "and the same call goes on from there" in process.stderr
    assert "Traceback" not in process.stderr
    assert "leaked" not in process.stderr
