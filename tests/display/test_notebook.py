from __future__ import annotations

import threading

import pytest
from rich.text import Text

from lightning_primo.display.notebook import NotebookLive
from lightning_primo.display.progress import RichProgress, Snapshot, make_progress
from lightning_primo.problem.trial import Evaluation, Proposal
from tests.results.search_log import ERROR, PARAMETERS, make_problem


class Output:
    """Stands for the output of a cell: what it has shown, in order."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []
        self.drawn = threading.Event()

    def display(self, data: dict[str, str], *, raw: bool, display_id: bool) -> Output:
        assert raw
        assert display_id
        self.shown.append(data)
        return self

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.shown.append(data)
        self.drawn.set()


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Output:
    made = Output()
    monkeypatch.setattr("IPython.display.display", made.display)
    return made


def test_it_is_drawn_anew_and_ends_in_its_final_state(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_primo.display.notebook._SECONDS", 0.001)
    states = ["<begun> & [bold]"]
    with NotebookLive(lambda: Text(states[-1])):
        assert output.drawn.wait(5)
        states.append("ended")
    texts = [data["text/plain"].strip() for data in output.shown]
    assert (texts[0], texts[-1]) == ("<begun> & [bold]", "ended")
    assert "&lt;begun&gt; &amp; [bold]" in output.shown[0]["text/html"]
    number = len(output.shown)
    output.drawn.clear()
    assert not output.drawn.wait(0.02)  # the thread has ended
    assert len(output.shown) == number


def test_an_exception_leaves_the_final_state(output: Output) -> None:
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), NotebookLive(lambda: Text("state")):
        raise KeyboardInterrupt
    assert output.shown[-1]["text/plain"].strip() == "state"
    assert threading.active_count() == before


def test_the_progress_of_a_search_in_a_notebook(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    progress = make_progress(True, problem=make_problem(ERROR, PARAMETERS))
    assert isinstance(progress, RichProgress)
    with progress:
        proposal = Proposal(trial_id=7, config={}, epoch=9)
        progress.started(proposal)
        told = Evaluation(trial_id=7, epoch=9, losses=(0.25, 100.0), cost=9.0)
        front = ({"val_error": 0.25, "parameters": 100.0},)
        progress.finished(proposal, told, Snapshot(spent=9.0, total=9.0, n_trials=1, front=front, hypervolume=1.0))
    text = output.shown[-1]["text/plain"]
    assert "100%" in text
    assert "1 trial, 0 running" in text
    assert "front of 1" in text
