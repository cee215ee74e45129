"""What a search found: the front with its trained networks, as objects, tables, files and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import pandas as pd

from lightning_primo.errors import InvalidArgumentError, PrimoError
from lightning_primo.factory import Factory
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Proposal
from lightning_primo.results.exports.checkpoints_with_objects import objects_writer
from lightning_primo.results.exports.export import CHOSEN_TABLE, TABLE, check_target, export_trials
from lightning_primo.results.exports.onnx_files import onnx_writer
from lightning_primo.results.illustrated import IllustratedFindings
from lightning_primo.results.interchange.optuna_export import study_of
from lightning_primo.results.interchange.tensorboard import write_event_files
from lightning_primo.results.loading import load_module
from lightning_primo.results.once_more.findings import FindingsOnceMore, Repeating, TimingInTurn
from lightning_primo.results.once_more.generalization import read_tests, run_tests
from lightning_primo.results.tables.table_files import write_table
from lightning_primo.results.tables.trials import make_table
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.store.described_problem import folds_of
from lightning_primo.training.options import TrainerArguments

if TYPE_CHECKING:
    import optuna

    from lightning_primo.results.report import ReportArguments


class Result(FindingsOnceMore, IllustratedFindings):
    """A view of a search's log: what was found up to the moment when it was made.

    Values that were measured again when the search had ended are the medians of all their measurements, here and in all
    that follows from it. A trial whose median breaks the bound of an objective, which its first measurement kept, stays
    in `trials` and in the table, where ``reason`` says so; it counts neither for the front nor for the hypervolume.

    Args:
        problem: What was searched.
        events: What was asked and told, with the seconds of search by then, in order.
        directory: The search's directory, for checkpoints and test results.
        build: How the module and the data of a configuration are built; None where that is not known, so that nothing
            can be loaded.
        seed: The search's, for `test`.
        trainer: The user's arguments of the Trainer, or a function that gives them, for `test`.
        description: What the search is, as text by key, for `export` and to be compared with another one.
        repeater: Trains trials again, for `repeat`; None where it is not known how.
        timer: Measures trials in turn, for `remeasure`; None where it is not known how.
    """

    def __init__(
        self,
        problem: Problem,
        events: Sequence[tuple[Proposal | Evaluation, float]],
        *,
        directory: str | Path,
        build: Factory | None,
        seed: int = 0,
        trainer: TrainerArguments | None = None,
        description: Mapping[str, str] | None = None,
        repeater: Repeating | None = None,
        timer: TimingInTurn | None = None,
    ) -> None:
        super().__init__(problem, events, directory=directory, description=description, repeater=repeater, timer=timer)
        self._build = build
        self._seed = seed
        self._trainer: TrainerArguments = trainer or {}

    def to_pandas(self) -> pd.DataFrame:
        """One row per trial: configuration, objectives in their own unit, measurements, test metrics, cost and status.

        Hyperparameters that are inactive are NaN; so are objectives that are not known. The names are explained in
        `make_table`.
        """
        front = [trial.id for trial in self.front]
        return make_table(self.problem, self.trials, front=front, tests=read_tests(self.directory))

    def save_table(self, path: str | Path) -> Path:
        """Write `to_pandas` as a file, as its suffix says: ``.csv``, ``.json`` or ``.parquet`` (the extra ``parquet``).

        Returns:
            The file.

        Raises:
            InvalidArgumentError: For another suffix.
            PrimoError: If Parquet is asked for without pyarrow.
            StorageError: If the disk is full or cannot be written to.
        """
        return write_table(self.to_pandas(), path)

    def to_optuna(self, storage: Any = None, *, study_name: str | None = None) -> optuna.Study:
        """Everything as a new study of Optuna, for its dashboard, its pictures or its samplers; the extra ``optuna``.

        Trials trained partly are pruned ones, failed ones fail; bounds are constraints. What becomes of what is told in
        `results.interchange.optuna_export`.

        Args:
            storage: As for `optuna.create_study`: a URL such as ``"sqlite:///study.db"``, a storage, None for memory.
            study_name: Default: the name of the search's directory.

        Raises:
            PrimoError: If Optuna is not installed.
            InvalidArgumentError: If the storage has a study of this name.
        """
        return study_of(self, directory=self.directory, storage=storage, study_name=study_name)

    def to_tensorboard(self, directory: str | Path) -> Path:
        """Write event files by which TensorBoard's HParams shows an entry per trial, with its objectives.

        Args:
            directory: The folder to make, which must be empty if it is there: ``tensorboard --logdir`` of it.

        Returns:
            The folder.

        Raises:
            PrimoError: If TensorBoard is not installed.
            InvalidArgumentError: If the folder is not empty.
        """
        return write_event_files(Path(directory), self.problem, self.trials)

    def load(self, trial: TrialResult | int) -> pl.LightningModule:
        """The trained module of a trial, on the CPU and in evaluation mode.

        Args:
            trial: The trial or its id.

        Raises:
            InvalidArgumentError: If there is no such trial.
            PrimoError: If no training of it succeeded, its checkpoint was removed or does not fit, or it is not known
                how the module is built.
        """
        return load_module(self.directory, self.trial(trial), self._factory)

    def test(self) -> pd.DataFrame:
        """Run every member of the front on the test data, once: what was tested before is read from the directory.

        Those whose results were known already are left out, as their weights are not here. Of several seeds or folds it
        is the first one's weights that are tested, as they are those that `load` and `export` have.

        Returns:
            The rows of `to_pandas` that are on the front, sorted like it, with the columns ``test_…``.

        Raises:
            PrimoError: If there is no test data, or a member cannot be loaded.
        """
        tests = read_tests(self.directory)
        if untested := [trial for trial in self.front if trial.id not in tests and not trial.known]:
            folds = folds_of(self.description)
            run_tests(self.directory, untested, self._factory, seed=self._seed, trainer=self._trainer, folds=folds)
        return self._rows(self.front)

    def export(
        self,
        directory: str | Path,
        *,
        trials: Iterable[TrialResult | int] | None = None,
        onnx: bool = False,
        objects: bool = False,
        overwrite: bool = False,
        extra: Callable[[TrialResult, Path], None] | None = None,
    ) -> Path:
        """Write the front as plain files, to be read without this package.

        They are ``front.csv``, a ``README.md`` for whoever is handed them, and one folder per member, such as
        ``trial_00012``, with ``state_dict.pt``, the same weights as Lightning's ``model.ckpt`` (for
        ``load_from_checkpoint``, and ``trainer.predict(ckpt_path=...)``), ``config.json`` and ``objectives.json``;
        where the hyperparameters changed during the training, as with `PBT`, also ``schedule.json``, which
        `callbacks.ScheduledHyperparameters` replays.

        Args:
            directory: The folder to make; it appears complete or not at all.
            trials: Trials or their ids, in place of the front; their table is ``exported.csv``.
            onnx: Whether each folder gets a ``model.onnx`` too, for batches of any size. It needs the extra ``onnx``. A
                member that cannot be converted goes without, with an OnnxSkippedWarning.
            objects: Whether each folder gets a ``model_with_objects.ckpt`` too: with the hyperparameters that hold
                objects, such as layers, which ``model.ckpt`` leaves out. It loads with ``weights_only=False`` alone.
            overwrite: Whether to replace an earlier export.
            extra: Writes more files: called with each trial and its folder.

        Returns:
            The folder.

        Raises:
            InvalidArgumentError: If the folder is not empty, and not an earlier export that may be replaced.
            PrimoError: If the front is empty, a member's checkpoint cannot be read, what ONNX needs is missing, or
                there are no such hyperparameters.
        """
        target = Path(directory)
        check_target(target, overwrite=overwrite)
        chosen = self.front if trials is None else tuple(dict.fromkeys(self.trial(trial) for trial in trials))
        writers = [onnx_writer(self.directory, self._factory, seed=self._seed)] if onnx else []
        writers += [objects_writer(self.directory, self._factory)] if objects else []
        export_trials(
            target,
            self.directory,
            chosen,
            problem=self.problem,
            table=self._rows(chosen),
            table_name=TABLE if trials is None else CHOSEN_TABLE,
            tests=read_tests(self.directory),
            writers=[*writers, extra] if extra is not None else writers,
            search={"directory": str(self.directory), **self.description},
            overwrite=overwrite,
        )
        return target

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report: one HTML file with all that is known of the search, which needs no network to be read.

        It has the front of any objectives, each trial with its configuration, curve and the command that exports it,
        the importance of hyperparameters and what a model expects along each, where the budget went, what failed, what
        priors did, who descends from whom, and where it ran. A search writes it at the end of every run.

        Args:
            path: Where to; default: ``report.html`` in the search's directory.

        Returns:
            The file, of 2 MB and a few hundred bytes per trial.

        Raises:
            InvalidArgumentError: If the path is a folder, or does not end with .html.
            StorageError: If it cannot be written.
        """
        if path is not None and (Path(path).suffix.lower() not in (".html", ".htm") or Path(path).is_dir()):
            raise InvalidArgumentError(f"'path' must be a file that ends with .html, got {str(path)!r}")
        from lightning_primo.results.report import write_report  # its models take time to import

        return write_report(self, path, **self.reported)

    @property
    def reported(self) -> ReportArguments:
        """What the report says besides what was found."""
        note = self.changed_since_told().strip(" ()")
        return {"directory": self.directory, "description": self.description, "note": note}

    def __repr__(self) -> str:
        return f"<Result of {str(self.directory)!r}>\n{self.summary()}"

    @property
    def _factory(self) -> Factory:
        if self._build is None:
            raise PrimoError(
                f"the result of {str(self.directory)!r} was read without the code that builds its modules; give it by "
                "read_result(directory, module=...), take Search(...).result() of the search that made it, or load the "
                "weights from an export: torch.load('state_dict.pt', weights_only=True)"
            )
        return self._build

    def _rows(self, trials: Sequence[TrialResult]) -> pd.DataFrame:
        order = [trial.id for trial in trials]
        table = self.to_pandas()
        return table.set_index("id", drop=False).loc[order].reset_index(drop=True)
