from __future__ import annotations

import io
import logging
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from lightning_primo.display.progress import PlainProgress, Progress, RichProgress, make_progress
from lightning_primo.display.snapshot import Snapshot
from lightning_primo.display.streams import RedirectedStreams
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.results import PartlyTrained
from lightning_primo.results.formatting import format_duration, format_value, format_values
from tests.results.search_log import ACCURACY, ERROR, PARAMETERS, make_problem

PROPOSAL = Proposal(trial_id=7, config={}, epoch=9)
EVALUATION = Evaluation(trial_id=7, epoch=9, losses=(0.412, 12345.0), cost=9.0)
FRONT = tuple({"val_error": 0.1 * n, "parameters": 1e4 / n} for n in range(1, 21))


def snapshot(**fields: object) -> Snapshot:
    values = {"spent": 12.0, "total": 500.0, "n_trials": 8, "front": FRONT[:4], "hypervolume": 3.2101, **fields}
    values.setdefault("reference", {"val_error": 1.0, "parameters": 1e4})
    return Snapshot(**values)  # type: ignore[arg-type]


def test_trials_trained_partly_are_greyed_below_the_front() -> None:
    objectives = (ERROR, PARAMETERS)
    partly = PartlyTrained(5, ((3, (0.25, 700.0)), (1, (0.5, 800.0))))
    progress = RichProgress(objectives, start=snapshot(front=FRONT[:1], partly=partly))
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(progress.render())
    lines = capture.get().splitlines()
    assert any("front of 1, 5 trained partly" in line for line in lines)
    for epoch, value in ((3, "0.25"), (1, "0.5")):
        (line,) = (line for line in lines if f"epoch {epoch}" in line)
        assert value in line
        assert "\x1b[2m" in line
    assert drawn(RichProgress(objectives, start=snapshot(front=(), partly=partly)))
    stream = io.StringIO()
    PlainProgress(objectives, stream=stream).finished(PROPOSAL, EVALUATION, snapshot(front=FRONT[:1], partly=partly))
    assert "| front 1, 5 trained partly |" in stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def drawn(progress: RichProgress, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(progress.render())
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.41234, "0.4123"),
        (12345.0, "12,345"),
        (4359.4, "4,359"),
        (1.0, "1"),
        (-0.5, "-0.5"),
        (3e15, "3e+15"),
        (1.5e-7, "1.5e-07"),
        (float("nan"), "-"),
        (float("inf"), "inf"),
    ],
)
def test_format_value(value: float, text: str) -> None:
    assert format_value(value) == text


def test_format_values_and_duration() -> None:
    assert format_values({"val_error": 0.412, "parameters": 12345.0}) == "val_error 0.412, parameters 12,345"
    assert [format_duration(s) for s in (0.0, 59.6, 3725.0, float("nan"))] == ["0:00:00", "0:01:00", "1:02:05", "-"]


def test_plain_lines() -> None:
    stream = io.StringIO()
    with PlainProgress((ERROR, PARAMETERS), stream=stream) as progress:
        progress.started(PROPOSAL)
        progress.finished(PROPOSAL, EVALUATION, snapshot(failures={"diverged": 1}))
        diverged = Evaluation(
            trial_id=8, epoch=2, losses=(float("nan"), 1.0), status=Status.ERROR, reason="ValueError at m.py:3\ntrace"
        )
        progress.finished(PROPOSAL, diverged, snapshot(spent=499.0, total=1500.0, front=()))
    assert stream.getvalue() == (
        "[ 12/500 epochs] trial 7 -> epoch 9: val_error 0.412, parameters 12,345 | front 4 | "
        "hypervolume 3.21 up to val_error 1, parameters 10,000 | failures 1\n"
        "[  499/1,500 epochs] trial 8 -> epoch 2: error (ValueError at m.py:3) | front 0 | "
        "hypervolume 3.21 up to val_error 1, parameters 10,000\n"
    )


def test_plain_lines_show_the_users_values(capsys: pytest.CaptureFixture[str]) -> None:
    evaluation = Evaluation(trial_id=0, epoch=9, losses=(-0.75,))
    PlainProgress((ACCURACY,)).finished(PROPOSAL, evaluation, snapshot())
    assert "trial 0 -> epoch 9: accuracy 0.75 |" in capsys.readouterr().err


def test_no_progress_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress.started(PROPOSAL)
        progress.finished(PROPOSAL, EVALUATION, snapshot())
    assert capsys.readouterr() == ("", "")


def test_the_display_fits_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem(ERROR, PARAMETERS)
    monkeypatch.setenv("TERM", "xterm")
    assert type(make_progress(False, problem=problem, stream=Terminal())) is Progress
    assert type(make_progress(True, problem=problem, stream=Terminal())) is RichProgress
    assert type(make_progress(True, problem=problem, stream=io.StringIO())) is PlainProgress
    monkeypatch.setenv("TERM", "dumb")
    assert type(make_progress(True, problem=problem, stream=Terminal())) is PlainProgress


def test_live_display() -> None:
    clock = Clock()
    progress = RichProgress((ERROR, PARAMETERS), start=snapshot(spent=100.0, front=()), clock=clock)
    progress.started(PROPOSAL)
    clock.now += 60
    lines = drawn(progress)
    assert lines[0].split(maxsplit=1)[1] == "20%  100/500 epochs  elapsed 0:01:00, left -"
    reached = "hypervolume 3.21 up to val_error 1, parameters 10,000"
    assert lines[1:] == ["8 trials, 1 running", reached, "training  trial 7 to epoch 9"]
    progress.finished(PROPOSAL, EVALUATION, snapshot(spent=200.0, front=FRONT[:2], failures={"diverged": 2}))
    lines = drawn(progress)
    assert lines[0].split(maxsplit=1)[1] == "40%  200/500 epochs  elapsed 0:01:00, left 0:03:00"
    assert lines[1:3] == ["8 trials, 0 running, 2 diverged", reached]
    assert lines[3] == "last      trial 7, epoch 9: val_error 0.412, parameters 12,345"
    table = [line.split() for line in lines[4:] if line.strip()]
    assert table[0] == ["front", "of", "2"]
    assert table[1] == ["val_error", "parameters"]
    assert table[3:] == [["0.1", "10,000"], ["0.2", "5,000"]]


def test_live_display_of_a_long_front_shows_its_ends() -> None:
    progress = RichProgress((ERROR, PARAMETERS), start=snapshot(front=FRONT))
    lines = drawn(progress)
    assert "front of 20 (8 shown)" in [line.strip() for line in lines]
    errors = [float(line.split()[0]) for line in lines[-9:] if line.strip()]
    assert len(errors) == 8
    assert (errors[0], errors[-1]) == pytest.approx((0.1, 2.0))


def test_live_display_before_the_first_evaluation_and_without_a_limit() -> None:
    progress = RichProgress((ERROR,))
    progress.started(PROPOSAL)
    assert drawn(progress) == ["elapsed 0:00:00", "training  trial 7 to epoch 9"]
    progress.finished(PROPOSAL, Evaluation(trial_id=7, epoch=9, losses=(0.4,)), snapshot(total=float("inf"), front=()))
    assert "0%  12/inf epochs" in drawn(progress)[0]


def test_live_display_keeps_lines_in_the_width() -> None:
    progress = RichProgress((ERROR, PARAMETERS), start=snapshot(front=()))
    for trial_id in range(30):
        progress.started(Proposal(trial_id=trial_id, config={}, epoch=9))
    assert len(drawn(progress, width=60)) == 4


def test_of_one_objective_the_best_value_is_shown_in_place_of_the_hypervolume() -> None:
    before = snapshot(front=(), hypervolume=0.0)
    progress = RichProgress((ACCURACY,), start=before)
    assert drawn(progress)[1:] == ["8 trials, 0 running"]
    evaluation = Evaluation(trial_id=7, epoch=9, losses=(-0.75,))
    told = snapshot(front=({"accuracy": 0.75},), hypervolume=0.75, reference={"accuracy": 0.0})
    progress.finished(PROPOSAL, evaluation, told)
    assert drawn(progress)[1:3] == ["8 trials, 0 running", "best accuracy 0.75"]
    stream = io.StringIO()
    plain = PlainProgress((ACCURACY,), stream=stream)
    plain.finished(PROPOSAL, evaluation, before)
    plain.finished(PROPOSAL, evaluation, told)
    assert [line.rpartition("| ")[2] for line in stream.getvalue().splitlines()] == ["front 0", "best accuracy 0.75"]


def test_a_long_reference_point_is_folded_rather_than_cut() -> None:
    lines = drawn(RichProgress((ERROR, PARAMETERS), start=snapshot(front=())), width=40)
    assert lines[2:] == ["hypervolume 3.21 up to val_error 1,", "parameters 10,000"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_live_display_restores_the_terminal(monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("TERM", "xterm")
    handler = logging.StreamHandler(err)
    logger = logging.getLogger("tests.progress")
    logger.addHandler(handler)
    try:
        with suppress(error), make_progress(True, problem=make_problem(ERROR, PARAMETERS)) as progress:
            assert isinstance(progress, RichProgress)
            assert sys.stderr is not err
            progress.started(PROPOSAL)
            progress.finished(PROPOSAL, EVALUATION, snapshot())
            print("from [bold]Lightning[/bold]", file=sys.stderr)
            logger.warning("a log line")
            print("a print", end="")
            raise error
    finally:
        logger.removeHandler(handler)
    assert (sys.stdout, sys.stderr, handler.stream) == (out, err, err)
    shown = err.getvalue()
    assert all(text in shown for text in ("from [bold]Lightning[/bold]", "a log line", "a print", "front of 4"))
    assert out.getvalue() == ""
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back


def test_what_is_piped_into_a_file_still_goes_there(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    with RedirectedStreams(Console(file=Terminal())):
        print("data")
    assert out.getvalue() == "data\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_the_display(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as file:
        monkeypatch.setattr(file, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(sys, "stderr", file)
        console = Console(file=Terminal())
        with RedirectedStreams(console), console._lock:  # held, as while the thread draws
            child = os.fork()
            if child == 0:
                sys.stderr.write("from the child\n")
                sys.stderr.flush()
                os._exit(0)
            deadline = time.monotonic() + 10
            while os.waitpid(child, os.WNOHANG) == (0, 0):
                assert time.monotonic() < deadline, "the child hangs"
                time.sleep(0.01)
    assert (tmp_path / "out").read_text() == "from the child\n"


def test_being_told_is_cheap() -> None:
    progress: Progress = RichProgress((ERROR, PARAMETERS), console=Console(file=Terminal(), force_terminal=True))
    state = snapshot(front=FRONT)
    with progress:
        start = time.perf_counter()
        for _ in range(200):
            progress.started(PROPOSAL)
            progress.finished(PROPOSAL, EVALUATION, state)
        assert (time.perf_counter() - start) / 200 < 1e-3
