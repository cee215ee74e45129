"""What a user asks of a search that runs: here its own module asks, in the middle of its training."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from lightning_primo import Metric, RandomSearch, Search, read_result
from lightning_primo.cli.main import main
from lightning_primo.errors import InvalidArgumentError, NotSearchingError, StorageError, StoreError
from lightning_primo.layout import requests_directory, stop_file, trial_directory
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.search.requests import Requests, ask_to_add, ask_to_stop
from lightning_primo.search.stored_search import StoredSearch
from lightning_primo.store import Store, read_events
from lightning_primo.study.description import describe_problem
from lightning_primo.study.known_trials import KnownTrial, evaluation_of
from tests.cli.searches import written
from tests.forks import Forks
from tests.lean_imports import search_path
from tests.study.problems import make_problem
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
        module=(lambda config: kind(str(directory), behaviour, **config)) if kind is not Net else Net,
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
    root = {"PYTHONPATH": search_path(Path(__file__).parents[2])}
    killed = forks.run([script, tmp_path / "search", "die"], env=root)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert stopped(tmp_path / "search") == []
    assert stop_file(trial_directory(tmp_path / "search", 1)).exists()
    result = searching(tmp_path / "search").run(trials=3, progress=False)
    assert [trial.outcome for trial in result.trials] == ["ok", "stopped", "ok"]
    assert result.trials[1].cost == 1.0  # in its first batch
    assert len(stopped(tmp_path / "search")) == 1


class Adding(Net):
    """Adds a configuration while trial 0 is trained, by the command, and dies in the training of some trial."""

    def __init__(self, directory: str, dies_in: str, **config: Any) -> None:
        super().__init__(**config)
        self.directory, self.dies_in = Path(directory), dies_in

    def on_train_start(self) -> None:
        last = read_events(self.directory)[-1][0]
        if isinstance(last, Proposal) and last.trial_id == 0 and not once(self.directory / "added"):
            file = self.directory / "mine.yaml"
            file.write_text("- lr: 0.05\n- {lr: 0.06}\n")
            assert main(["add", str(self.directory), str(file)]) == 0
        if isinstance(last, Proposal) and str(last.trial_id) == self.dies_in and not once(self.directory / "died"):
            os.kill(os.getpid(), signal.SIGKILL)


def once(mark: Path) -> bool:
    """Whether there is a mark; there is one then."""
    there = mark.exists()
    mark.touch()
    return there


def history(directory: Path) -> list[str]:
    return [
        repr(replace(e, seconds=0.0, measuring=0.0) if isinstance(e, Evaluation) else e)
        for e, _ in read_events(directory)
    ]


@pytest.fixture(scope="module")
def with_additions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search to which two configurations were added while trial 0 was trained."""
    directory = tmp_path_factory.mktemp("search")
    searching(directory, kind=Adding).run(trials=5, progress=False)
    return directory


def test_configurations_are_tried_next_and_the_algorithm_goes_on_with_its_own(with_additions: Path) -> None:
    trials = read_result(with_additions).trials
    assert [trial.config for trial in trials[1:3]] == [{"lr": 0.05}, {"lr": 0.06}]
    proposals = [event for event, _ in read_events(with_additions) if isinstance(event, Proposal)]
    assert [proposal.origin.value for proposal in proposals] == [
        "algorithm",
        "given",
        "given",
        "algorithm",
        "algorithm",
    ]
    assert [trial.outcome for trial in trials] == ["ok"] * 5
    assert not list(requests_directory(with_additions).iterdir())


@pytest.mark.parametrize(
    "dies_in",
    ["0", *(pytest.param(trial, marks=pytest.mark.slow) for trial in "123")],
)
def test_what_was_added_is_tried_once_after_a_kill(
    tmp_path: Path, forks: Forks, with_additions: Path, dies_in: str
) -> None:
    """In trial 0 the requests lie there as files, in trial 1 one is in the log and not tried yet."""
    script, directory = tmp_path / "search.py", tmp_path / "search"
    script.write_text(ADDING)
    root = {"PYTHONPATH": search_path(Path(__file__).parents[2])}
    killed = forks.run([script, directory, dies_in], env=root)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list(requests_directory(directory).iterdir())) == (2 if dies_in == "0" else 0)
    searching(directory, kind=Adding).run(trials=5, progress=False)
    assert history(directory) == history(with_additions)


ADDING = """
import sys
from pathlib import Path
from tests.search.test_requests import Adding, searching
searching(Path(sys.argv[1]), sys.argv[2], kind=Adding).run(trials=5, progress=False)
"""


def test_a_request_that_the_log_has_is_not_taken_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As when a search is killed after it has recorded a request, and before it has taken its file away."""
    searching(tmp_path, kind=Net).run(trials=1, progress=False)
    folder = requests_directory(tmp_path)
    folder.mkdir()
    for name in ("1", "2"):
        (folder / f"{name}.json").write_text('{"lr": 0.05}')
    (folder / "3.json").write_text('{"lr": 7}')
    (folder / "4.json").write_text("{")
    searching(tmp_path, kind=Net).run(trials=4, progress=False)
    told = capsys.readouterr().err
    assert "a request is left out: the request '3.json' has 'lr' = 7, which is not in the space" in told
    assert "a request is left out: Expecting property name" in told
    (folder / "5.json").write_text('{"lr": 0.05}')
    result = searching(tmp_path, kind=Net).run(trials=5, progress=False)
    assert [trial.config["lr"] == 0.05 for trial in result.trials] == [False, True, False, False, False]
    assert not list(folder.iterdir())


def test_what_is_known_to_the_end_is_not_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended: dict[str, Any] = {"lr": 0.05, "width": 4, "uses": False}  # by itself, before the full training
    begun = {**ended, "lr": 0.06}
    problem, algorithm = make_problem(), RandomSearch()
    algorithm.start(problem, seed=0)
    with Store(tmp_path, describe_problem(problem, algorithm=algorithm, seed=0)) as store:
        for number, (config, finished) in enumerate([(ended, True), (begun, False)]):
            known = KnownTrial(config=config, curve={3: {"error": 1.0}}, finished=finished)
            evaluation = evaluation_of(known, problem, number)
            assert isinstance(evaluation, Evaluation)
            proposal = algorithm.known_trial(config, 3)
            store.learn(proposal, evaluation, elapsed=0.0)
            algorithm.register(proposal)
            algorithm.tell(evaluation)
        with pytest.raises(InvalidArgumentError, match="'config' is what trial 0 has; add another one"):
            ask_to_add(tmp_path, {"'config'": ended})
        ask_to_add(tmp_path, {"'config'": begun})
        (requests_directory(tmp_path) / "late.json").write_text(json.dumps(ended))
        Requests(store, algorithm).take(elapsed=0.0)
        assert "a request is left out: a trial has its configuration already, {'lr': 0.05, " in capsys.readouterr().err
        assert store.added() == algorithm.queue == [begun]
        assert not list(requests_directory(tmp_path).iterdir())


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
            search = searching(self.directory)
            with pytest.raises(InvalidArgumentError, match="unknown hyperparameter in 'config': 'rl'; valid choices: "):
                search.add({"rl": 0.01})
            with pytest.raises(
                InvalidArgumentError, match="'config' has 'lr' = 7, which is not in the space; expected"
            ):
                search.add({"lr": 7})
            with pytest.raises(InvalidArgumentError, match="'config' is what trial 0 has; add another one"):
                search.add(read_result(self.directory).trials[0].config)
            assert not list(self.directory.glob("requests/*"))
            with pytest.raises(InvalidArgumentError, match="'trial' is 2, which does not exist; being trained: 1"):
                ask_to_stop(self.directory, 2)
            directory_file(self.directory).touch()


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    result = searching(tmp_path, kind=Refused).run(trials=2, progress=False)
    assert [trial.outcome for trial in result.trials] == ["ok", "ok"], result.trials[1].reason
    assert directory_file(tmp_path).exists()
    with pytest.raises(NotSearchingError, match=r"nobody searches in .* now, so no trial is being trained; begin the"):
        ask_to_stop(tmp_path, 1)
    with pytest.raises(NotSearchingError, match=r"nobody searches in .* now, so no configuration can be tried"):
        searching(tmp_path).add({"lr": 0.02})
    with pytest.raises(StoreError, match="holds no search"):
        ask_to_stop(tmp_path / "trials", 1)


def test_a_request_that_came_too_late_does_not_hold_for_the_next_training(tmp_path: Path) -> None:
    folder = trial_directory(tmp_path, 0)
    folder.mkdir(parents=True)
    stop_file(folder).touch()
    result = searching(tmp_path).run(trials=1, progress=False)
    assert [trial.outcome for trial in result.trials] == ["ok"]
    assert not stop_file(folder).exists()


def test_a_request_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    written(tmp_path)
    requests_directory(tmp_path).touch()
    folder = trial_directory(tmp_path, 7)
    folder.parent.mkdir(parents=True)
    folder.touch()
    with Store(tmp_path, StoredSearch.open(tmp_path).description):
        with pytest.raises(StorageError, match=r"'.*' cannot be written: File exists: "):
            ask_to_add(tmp_path, {"mine": {"lr": 0.5, "optimizer": "adam"}})
        with pytest.raises(StorageError, match=r"'.*' cannot be written: File exists: "):
            ask_to_stop(tmp_path, 7)
