from __future__ import annotations

from pathlib import Path

import pytest
from lightning.pytorch.callbacks import Callback

from lightning_primo.callbacks.claim import FILE_NAME, Claim, revoke
from lightning_primo.errors import SupersededError
from lightning_primo.training import run_job
from tests.training.jobs import curve, make_job, state


def test_the_attempt_that_was_begun_last_may_write(tmp_path: Path) -> None:
    first, second = Claim(tmp_path, 3), Claim(tmp_path, 3)
    first.take()
    first.check()
    second.take()
    second.check()
    with pytest.raises(SupersededError, match="goes on elsewhere"):
        first.check()
    first.give_up()
    second.check()
    second.give_up()
    with pytest.raises(SupersededError):
        second.check()
    assert list(tmp_path.iterdir()) == []


def test_a_training_to_an_earlier_epoch_comes_too_late(tmp_path: Path) -> None:
    promotion = Claim(tmp_path, 9)
    promotion.take()
    with pytest.raises(SupersededError):
        Claim(tmp_path, 3).take()
    promotion.check()


@pytest.mark.parametrize("text", ["", "x", "\x00" * 40])
def test_a_file_that_was_cut_off_is_nobodys(tmp_path: Path, text: str) -> None:
    claim = Claim(tmp_path, 1)
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(SupersededError):
        claim.check()
    claim.take()
    claim.check()


class Meanwhile(Callback):
    """Does something in the training's second epoch."""

    def __init__(self, what: str, directory: Path) -> None:
        self.what, self.directory = what, directory

    def on_train_epoch_start(self, trainer: object, pl_module: object) -> None:
        if trainer.current_epoch == 1:  # type: ignore[attr-defined]
            if self.what == "begun elsewhere":
                Claim(self.directory, 3).take()
            else:
                revoke(self.directory)


@pytest.mark.parametrize("what", ["begun elsewhere", "search ended"])
def test_a_training_that_is_superseded_ends_and_writes_no_more(tmp_path: Path, what: str) -> None:
    plain = run_job(make_job(tmp_path / "plain"))
    directory = tmp_path / "trial"
    job = make_job(directory, checkpoint_every_seconds=0.0, trainer={"callbacks": [Meanwhile(what, directory)]})
    with pytest.raises(SupersededError):
        run_job(job)
    names = {path.name for path in directory.iterdir() if path.is_file()}
    assert names == {"last.ckpt", *([FILE_NAME] if what == "begun elsewhere" else [])}
    evaluation = run_job(make_job(directory))
    assert set(evaluation.curve) == {1, 2, 3}
    assert curve(evaluation) == curve(plain)
    for part, value in state(directory).items():
        assert str(value) == str(state(tmp_path / "plain")[part])


def test_a_job_without_anything_to_train_supersedes_none(tmp_path: Path) -> None:
    run_job(make_job(tmp_path))
    other = Claim(tmp_path, 3)
    other.take()
    assert run_job(make_job(tmp_path)).ok
    other.check()
