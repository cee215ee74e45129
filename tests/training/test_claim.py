from __future__ import annotations

import threading
from pathlib import Path

import pytest
from lightning.pytorch.callbacks import Callback

from lightning_primo.errors import SupersededError
from lightning_primo.layout import attempt_file
from lightning_primo.training import run_job
from lightning_primo.training.checkpoint.claim import Claim, issue, revoke
from lightning_primo.training.checkpoint.writing import remove_partial
from tests.training.jobs import curve, make_job, state


@pytest.fixture(autouse=True)
def _no_other_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_primo.training.checkpoint.claim._PATIENCE_SECONDS", 0.0)


def test_the_job_that_was_asked_for_last_may_write(tmp_path: Path) -> None:
    first = Claim(tmp_path, issue(tmp_path))
    first.take()
    first.check()
    second = Claim(tmp_path, issue(tmp_path))
    with pytest.raises(SupersededError, match="goes on elsewhere"):
        first.check()
    second.take()
    second.check()
    with pytest.raises(SupersededError):
        first.take()  # as a job that has waited in a queue
    second.check()


def test_of_two_attempts_at_one_job_the_later_may_write(tmp_path: Path) -> None:
    ticket = issue(tmp_path)
    lost, again = Claim(tmp_path, ticket), Claim(tmp_path, ticket)
    lost.take()
    again.take()
    again.check()
    with pytest.raises(SupersededError):
        lost.check()


def test_when_the_search_has_what_came_of_it_nobody_may_write(tmp_path: Path) -> None:
    claim = Claim(tmp_path, issue(tmp_path))
    claim.take()
    revoke(tmp_path)
    for action in (claim.check, claim.take):
        with pytest.raises(SupersededError):
            action()
    revoke(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_ticket_that_is_late_to_be_seen_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_primo.training.checkpoint.claim._PATIENCE_SECONDS", 20.0)
    late = threading.Timer(0.3, lambda: attempt_file(tmp_path).write_text("ticket"))
    late.start()
    claim = Claim(tmp_path, "ticket")
    claim.take()
    claim.check()
    late.join()


class Meanwhile(Callback):
    """Does something in the training's second epoch."""

    def __init__(self, what: str, directory: Path) -> None:
        self.what, self.directory = what, directory

    def on_train_epoch_start(self, trainer: object, pl_module: object) -> None:
        if trainer.current_epoch == 1:  # type: ignore[attr-defined]
            if self.what == "asked for again":
                issue(self.directory)
            else:
                revoke(self.directory)


@pytest.mark.parametrize("what", ["asked for again", "search ended"])
def test_a_training_that_is_superseded_ends_and_writes_no_more(tmp_path: Path, what: str) -> None:
    plain = run_job(make_job(tmp_path / "plain"))
    directory = tmp_path / "trial"
    callbacks = {"callbacks": [Meanwhile(what, directory)]}
    with pytest.raises(SupersededError):
        run_job(make_job(directory, ticket=issue(directory), checkpoint_every_seconds=0.0, trainer=callbacks))
    names = {path.name for path in directory.iterdir() if path.is_file()}
    assert names == {"last.ckpt", *(["attempt"] if what == "asked for again" else [])}
    evaluation = run_job(make_job(directory, ticket=issue(directory)))
    assert set(evaluation.curve) == {1, 2, 3}
    assert curve(evaluation) == curve(plain)
    for part, value in state(directory).items():
        assert str(value) == str(state(tmp_path / "plain")[part])


def test_one_that_lost_its_claim_while_it_wrote_is_no_failure_of_the_trial(tmp_path: Path) -> None:
    """Whoever may write now has removed the file that it was writing."""

    class Removing(Callback):
        def on_save_checkpoint(self, trainer: object, pl_module: object, checkpoint: object) -> None:
            issue(tmp_path)
            remove_partial(tmp_path)

    with pytest.raises(SupersededError):
        run_job(make_job(tmp_path, ticket=issue(tmp_path), trainer={"callbacks": [Removing()]}))
    assert not list(tmp_path.glob("*.partial"))


def test_a_job_without_anything_to_train_needs_no_ticket(tmp_path: Path) -> None:
    run_job(make_job(tmp_path))
    assert run_job(make_job(tmp_path, ticket="of a job that Dask has run before")).ok
