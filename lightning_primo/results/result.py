"""What a search found: the front, the table of all trials, the hypervolume, and the trained networks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from lightning_primo.errors import InvalidArgumentError, PrimoError
from lightning_primo.factory import Factory
from lightning_primo.layout import tests_file, trial_directory, write_atomically
from lightning_primo.pareto import hypervolume, non_dominated
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Proposal, fold_events
from lightning_primo.results import plotting
from lightning_primo.results.anytime_performance import hypervolume_over_cost, losses_within
from lightning_primo.results.export import (
    CHOSEN_TABLE,
    TABLE,
    export_trials,
    load_module,
    run_test,
)
from lightning_primo.results.formatting import format_value
from lightning_primo.results.front import reference_point, values_of
from lightning_primo.results.repeated_measurements import read_remeasured, with_remeasured
from lightning_primo.results.summary import front_lines
from lightning_primo.results.to_onnx import onnx_writer
from lightning_primo.results.trial_result import TrialResult, make_table
from lightning_primo.training.options import TrainerArguments


class Result:
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
        description: What the search is, as text by key, for `export`.

    Attributes:
        trials: All trials, in the order in which they were proposed.
        front: Those that no other one dominates, among the trials trained to the full budget; sorted by the first
            objective, the best first.
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
    ) -> None:
        self.problem = problem
        self.directory = Path(directory)
        self._build = build
        self._seed = seed
        self._trainer: TrainerArguments = trainer or {}
        self._description = dict(description or {})
        events = with_remeasured(problem, events, read_remeasured(self.directory))
        trials = fold_events(event for event, _ in events)
        self.trials: tuple[TrialResult, ...] = tuple(TrialResult.of(trial, problem) for trial in trials)
        self._told = [(event, elapsed) for event, elapsed in events if isinstance(event, Evaluation)]
        full = [trial.at(problem.max_epochs) for trial in trials]
        counted = [evaluation for evaluation in full if evaluation is not None and problem.counts(evaluation)]
        losses = np.array([evaluation.losses for evaluation in counted]).reshape(-1, len(problem.objectives))
        mask = non_dominated(losses)
        on_front = sorted((e.losses, e.trial_id) for e, keep in zip(counted, mask, strict=True) if keep)
        by_id = {trial.id: trial for trial in self.trials}
        self.front: tuple[TrialResult, ...] = tuple(by_id[trial_id] for _, trial_id in on_front)
        ids = {evaluation.trial_id for evaluation in counted}
        self._out_of_bounds = [trial.id for trial in self.trials if trial.trained_fully and trial.id not in ids]
        self._scaled = problem.scaled(losses)

    @property
    def epochs(self) -> float:
        """Epochs trained over all trials."""
        return sum(evaluation.cost for evaluation, _ in self._told)

    @property
    def full_trainings(self) -> float:
        """The same, in full trainings."""
        return self.epochs / self.problem.max_epochs

    def to_pandas(self) -> pd.DataFrame:
        """One row per trial: configuration, objectives in their own unit, measurements, test metrics, cost and status.

        Hyperparameters that are inactive are NaN; so are objectives that are not known. The names are explained in
        `make_table`.
        """
        front = [trial.id for trial in self.front]
        return make_table(self.problem, self.trials, front=front, tests=self._tests())

    @property
    def reference(self) -> dict[str, float]:
        """The hypervolume's reference point, in the user's units.

        An objective's own reference, else its bound on the bad side, else somewhat beyond the worst value at the full
        budget; an objective with none of these is left out.
        """
        values = values_of(self.problem, reference_point(self.problem, self._scaled))
        return {
            objective.name: values[objective.name]
            for objective in self.problem.objectives
            if objective.reference_loss is not None or len(self._scaled)
        }

    def hypervolume(self, reference: Mapping[str, float] | None = None) -> float:
        """The hypervolume of the trials trained to the full budget; 0 without any.

        Logarithmic objectives count by their base-10 logarithm.

        Args:
            reference: Coordinates of the reference point, in the user's units, by objective; those left out are as in
                `Result.reference`. To compare searches, give all.

        Raises:
            UnknownNameError: If `reference` holds a name that is none of the objectives'.
            InvalidArgumentError: If it holds a value that is not finite.
        """
        return hypervolume(self._scaled, reference_point(self.problem, self._scaled, reference))

    def hypervolume_over_cost(self, reference: Mapping[str, float] | None = None) -> pd.DataFrame:
        """How the hypervolume grew, one row per evaluation, failed ones included, in the order in which they came.

        Args:
            reference: As for `hypervolume`.

        Returns:
            Columns: `epochs` spent by then, the same in `full_trainings`, `seconds` of search, `hypervolume`.

        Raises:
            InvalidArgumentError: As for `hypervolume`.
        """
        point = reference_point(self.problem, self._scaled, reference)
        return hypervolume_over_cost(self.problem, self._told, point)

    def losses_within(self, epochs: float) -> npt.NDArray[np.float64]:
        """The minimised losses of the trials that were fully trained within the first `epochs` spent, `n x m`."""
        return losses_within(self.problem, self._told, epochs)

    def load(self, trial: TrialResult | int) -> pl.LightningModule:
        """The trained module of a trial, on the CPU and in evaluation mode.

        Args:
            trial: The trial or its id.

        Raises:
            InvalidArgumentError: If there is no such trial.
            PrimoError: If no training of it succeeded, its checkpoint was removed or does not fit, or it is not known
                how the module is built.
        """
        return load_module(self.directory, self._trial(trial), self._factory)

    def test(self) -> pd.DataFrame:
        """Run every member of the front on the test data, once: what was tested before is read from the directory.

        Returns:
            The rows of `to_pandas` that are on the front, sorted like it, with the columns ``test_…``.

        Raises:
            PrimoError: If there is no test data, or a member cannot be loaded.
        """
        tests = self._tests()
        for trial in self.front:
            if trial.id not in tests:
                module = self.load(trial)
                folder = trial_directory(self.directory, trial.id)
                tests[trial.id] = run_test(
                    module, trial, self._factory, seed=self._seed, trainer=self._trainer, directory=folder
                )
                write_atomically(tests_file(self.directory), json.dumps(tests, indent=2) + "\n")
        return self._rows(self.front)

    def export(
        self,
        directory: str | Path,
        *,
        trials: Iterable[TrialResult | int] | None = None,
        onnx: bool = False,
        overwrite: bool = False,
        extra: Callable[[TrialResult, Path], None] | None = None,
    ) -> Path:
        """Write the front as plain files, to be read without this package.

        They are ``front.csv`` and one folder per member, such as ``trial_00012``, with ``state_dict.pt``,
        ``config.json`` and ``objectives.json``.

        Args:
            directory: The folder to make; it appears complete or not at all.
            trials: Trials or their ids, in place of the front; their table is ``exported.csv``.
            onnx: Whether each folder gets a ``model.onnx`` too, for batches of any size. It needs the extra ``onnx``.
            overwrite: Whether to replace an earlier export.
            extra: Writes more files: called with each trial and its folder.

        Returns:
            The folder.

        Raises:
            InvalidArgumentError: If the folder is not empty, and not an earlier export that may be replaced.
            PrimoError: If the front is empty, a member's checkpoint cannot be read, or it cannot be written as ONNX.
        """
        target = Path(directory)
        chosen = self.front if trials is None else tuple(dict.fromkeys(self._trial(trial) for trial in trials))
        writers = [onnx_writer(self.directory, self._factory, seed=self._seed)] if onnx else []
        export_trials(
            target,
            self.directory,
            chosen,
            table=self._rows(chosen),
            table_name=TABLE if trials is None else CHOSEN_TABLE,
            tests=self._tests(),
            writers=[*writers, extra] if extra is not None else writers,
            search={"directory": str(self.directory), **self._description},
            overwrite=overwrite,
        )
        return target

    def plot_front(self, path: str | Path | None = None, *, x: str | None = None, y: str | None = None) -> Figure:
        """Draw the front, or for a single objective the best value over the cost.

        Args:
            path: Where to save the picture, as PNG, SVG or PDF by its suffix.
            x: Objective on the horizontal axis; with more than two objectives, all pairs are drawn by default.
            y: Objective on the vertical axis.

        Raises:
            InvalidArgumentError: If `x` and `y` do not name two objectives, or for another suffix.
        """
        if len(self.problem.objectives) == 1 and x is None and y is None:
            return plotting.plot_best(self.problem, [evaluation for evaluation, _ in self._told], path=path)
        front = [trial.id for trial in self.front]
        return plotting.plot_front(self.problem, self.trials, front, path=path, x=x, y=y)

    def plot_hypervolume(
        self, path: str | Path | None = None, *, reference: Mapping[str, float] | None = None
    ) -> Figure:
        """Draw how the hypervolume grew with the cost.

        Args:
            path: Where to save the picture, as PNG, SVG or PDF by its suffix.
            reference: As for `hypervolume`.

        Raises:
            InvalidArgumentError: As for `hypervolume`, or for another suffix.
        """
        return plotting.plot_hypervolume(self.hypervolume_over_cost(reference), self.problem.max_epochs, path=path)

    def summary(self) -> str:
        """A few lines for a person: the trials by status, what they cost, and the front."""
        counts = Counter(trial.outcome for trial in self.trials)
        statuses = ", ".join(f"{number} {status}" for status, number in counts.most_common())
        lines = [
            f"{len(self.trials)} trials" + (f" ({statuses})" if statuses else ""),
            f"{format_value(self.epochs)} epochs = {self.full_trainings:.4g} full trainings",
        ]
        if self._out_of_bounds:
            ids = ", ".join(map(str, self._out_of_bounds))
            lines.append(f"left out of the front, a bound was broken when they were measured again: trials {ids}")
        elif not self.front:
            lines.append(f"no trial was trained to the full budget of {self.problem.max_epochs} epochs yet")
        if not self.front:
            return "\n".join(lines)
        lines.append(f"front of {len(self.front)}, hypervolume {self.hypervolume():.4g}:")
        return "\n".join([*lines, *front_lines(self.problem, self.front)])

    def __repr__(self) -> str:
        return f"<Result of {str(self.directory)!r}>\n{self.summary()}"

    def _trial(self, trial: TrialResult | int) -> TrialResult:
        trial_id = trial.id if isinstance(trial, TrialResult) else trial
        for known in self.trials:
            if known.id == trial_id:
                return known
        raise InvalidArgumentError(
            f"'trial' is {trial_id!r}, but the search has {len(self.trials)} trials, numbered from 0"
        )

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

    def _tests(self) -> dict[int, dict[str, float]]:
        path = tests_file(self.directory)
        if not path.exists():
            return {}
        try:
            return {int(trial_id): dict(metrics) for trial_id, metrics in json.loads(path.read_text()).items()}
        except (ValueError, AttributeError, TypeError) as error:
            raise PrimoError(f"{str(path)!r} is damaged ({error}); delete it to test the front again") from error
