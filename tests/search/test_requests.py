"""What a user asks of a search that runs: here its own module asks, in the middle of its training."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from lightning_primo import Metric, RandomSearch, Search
from lightning_primo.cli.main import main
from lightning_primo.errors import InvalidArgumentError, NotSearchingError, StoreError
from lightning_primo.layout import stop_file, trial_directory
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.search.requests import ask_to_stop
from lightning_primo.store import read_events
from tests.forks import Forks
from tests.tiny import Data, Net

ASKED = "asked"


class Asking(Net):
    """Has the search's directory and asks once that trial 1 be stopped, as soon as that is trained."""

    def __init__(self, directory: str, behaviour: str = "", **config: Any) -> None:
        super().__init__(**config)
        self.directory, self.wish = Path(directory), behaviour

    def on_train_start(self) -> None:
        events = [event for event, _ in read_events(self.directory)]
        asked = directory_file(self.directory)
        if not isinstance(events[-1], Proposal) or events[-1].trial_id != 1 or asked.exists():
            return
        asked.touch()
        assert main(["stop", str(self.directory), "1"]) == 0
        if self.wish == "die":
            os.kill(os.getpid(), signal.SIGKILL)


def directory_file(directory: Path) -> Path:
    return directory / ASKED


def searching(directory: Path, behaviour: str = "", *, kind: Any = Asking) -> Search:
    return Search(
        ConfigurationSpace({"lr": (1e-3, 1e-1)}),
        module=lambda config: kind(str(directory), behaviour, **config),
        datamodule=Data,
        objectives=[Metric("val_loss", mode="min")],
        epochs=(2, 2),
        algorithm=RandomSearch(),
        directory=directory,
        trainer={"accelerator": "cpu"},
        seed=5,
    )


def stopped(directory: Path) -> list[Evaluation]:
    return [e for e, _ in read_events(directory) if isinstance(e, Evaluation) and e.status is Status.STOPPED]


def test_a_trial_is_stopped_and_the_search_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = searching(tmp_path).run(trials=4, progress=False)
    assert capsys.readouterr().out == "trial 1 ends at the end of its batch\n"
    assert [trial.outcome for trial in result.trials] == ["ok", "stopped", "ok", "ok"]
    assert result.trials[1].reason == "stopped by the user in the training of epoch 1"
    assert (result.trials[1].epoch, result.trials[1].cost) == (0, 1.0)
    assert 1 not in [trial.id for trial in result.front]
    before = read_events(tmp_path)
    again = searching(tmp_path).run(trials=6, progress=False)  # it is neither trained again nor stopped again
    assert repr(read_events(tmp_path)[: len(before)]) == repr(before)
    assert [trial.outcome for trial in again.trials] == ["ok", "stopped", "ok", "ok", "ok", "ok"]
    assert len(stopped(tmp_path)) == 1


SCRIPT = """
import sys
from pathlib import Path
from tests.search.test_requests import searching
searching(Path(sys.argv[1]), sys.argv[2]).run(trials=3, progress=False)
"""


def test_a_request_outlives_a_search_that_is_killed(tmp_path: Path, forks: Forks) -> None:
    script = tmp_path / "search.py"
    script.write_text(SCRIPT)
    root = {"PYTHONPATH": str(Path(__file__).parents[2])}
    killed = forks.run([script, tmp_path / "search", "die"], env=root)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert stopped(tmp_path / "search") == []
    assert stop_file(trial_directory(tmp_path / "search", 1)).exists()
    result = searching(tmp_path / "search").run(trials=3, progress=False)
    assert [trial.outcome for trial in result.trials] == ["ok", "stopped", "ok"]
    assert result.trials[1].cost == 1.0  # in its first batch
    assert len(stopped(tmp_path / "search")) == 1


class Refused(Net):
    """Asks for what cannot be, while trial 1 is trained."""

    def __init__(self, directory: str, behaviour: str, **config: Any) -> None:
        super().__init__(**config)
        self.directory = Path(directory)

    def on_train_start(self) -> None:
        last = read_events(self.directory)[-1][0]
        if last.trial_id == 1 and self.trainer.max_epochs == 2:
            with pytest.raises(InvalidArgumentError, match="0, which is not being trained, it ended as 'ok'; being t"):
                ask_to_stop(self.directory, 0)
            with pytest.raises(InvalidArgumentError, match="'trial' is 2, which does not exist; being trained: 1"):
                ask_to_stop(self.directory, 2)
            directory_file(self.directory).touch()


def test_what_is_not_trained_cannot_be_stopped(tmp_path: Path) -> None:
    result = searching(tmp_path, kind=Refused).run(trials=2, progress=False)
    assert [trial.outcome for trial in result.trials] == ["ok", "ok"], result.trials[1].reason
    assert directory_file(tmp_path).exists()
    with pytest.raises(NotSearchingError, match=r"nobody searches in .* now, so no trial is being trained; begin the"):
        ask_to_stop(tmp_path, 1)
    with pytest.raises(StoreError, match="holds no search"):
        ask_to_stop(tmp_path / "trials", 1)


def test_a_request_that_came_too_late_does_not_hold_for_the_next_training(tmp_path: Path) -> None:
    folder = trial_directory(tmp_path, 0)
    folder.mkdir(parents=True)
    stop_file(folder).touch()
    result = searching(tmp_path).run(trials=1, progress=False)
    assert [trial.outcome for trial in result.trials] == ["ok"]
    assert not stop_file(folder).exists()
