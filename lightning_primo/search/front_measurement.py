"""When a search has ended: what is noisy is measured again for the trials that may be on the front.

Of many values that were measured once the lowest are too low by chance as well, and those make the front. All are
measured in turn, so that a drift of the machine meets all alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lightning_primo.display.notes import note
from lightning_primo.display.steps import steps
from lightning_primo.errors import DeviceAwayError, DeviceMismatchError, DeviceRefusedError, PrimoError, first_line
from lightning_primo.objectives import CostCallback, ObjectiveCallback
from lightning_primo.objectives.benches.places import Places
from lightning_primo.pareto.contenders import Contenders
from lightning_primo.problem.trial import Evaluation, Origin, Proposal
from lightning_primo.results.once_more.remeasurements import read_remeasured, with_remeasured, write_remeasured
from lightning_primo.search.interrupt import Interrupt
from lightning_primo.store import Event
from lightning_primo.training import Job
from lightning_primo.training.cost_measurement import measure_again
from lightning_primo.training.plan import TrainingPlan
from lightning_primo.workers import Workers


def noisy_names(objectives: Sequence[ObjectiveCallback]) -> list[str]:
    """The objectives of which another measurement may come out differently."""
    return [c.objective.name for c in objectives if isinstance(c, CostCallback) and c.noisy]


def measure_front_again(
    plan: TrainingPlan,
    events: Sequence[Event],
    workers: Workers,
    *,
    directory: Path,
    times: int,
    show: bool,
    interrupt: Interrupt,
) -> None:
    """Measure the noisy objectives of the contenders for the front `times` times, less what was done before.

    Every value is kept as soon as it is there. What can't be measured any more, as on another machine, is said on
    standard error and left as it was told: whatever goes wrong here, the search has its result.

    Args:
        plan: Makes jobs.
        events: What was asked and told.
        workers: Where to measure.
        directory: The search's.
        times: Measurements of each contender.
        show: Whether to show progress.
        interrupt: Says whether Ctrl-C was pressed.

    Raises:
        KeyboardInterrupt: On Ctrl-C.
    """
    names = noisy_names(plan.objectives)
    if not names:
        return
    try:
        _measure(plan, events, workers, names, directory=directory, times=times, show=show, interrupt=interrupt)
    except Exception as error:
        kind = "" if isinstance(error, PrimoError) else f"{type(error).__name__}: "
        note(f"the front is not measured again: {kind}{error}")


def _measure(
    plan: TrainingPlan,
    events: Sequence[Event],
    workers: Workers,
    names: Sequence[str],
    *,
    directory: Path,
    times: int,
    show: bool,
    interrupt: Interrupt,
) -> None:
    values = read_remeasured(directory)
    known = Places(event for event, _ in events if isinstance(event, Evaluation)).known
    proposals = {event.trial_id: event for event, _ in events if isinstance(event, Proposal)}
    given_up = {proposal.trial_id for proposal in proposals.values() if proposal.origin is Origin.KNOWN}
    while due := _due(plan, events, values, names, times=times, without=given_up):
        what = f"measuring {' and '.join(names)} of {len(set(due))} trials on or near the front again"
        for trial_id in steps(due, what=what, show=show):
            interrupt.check()
            if trial_id in given_up:
                continue
            outcome = _outcome(workers, replace(plan.job(proposals[trial_id]), measured_on=known))
            if isinstance(outcome, str):
                note(f"trial {trial_id} could not be measured again: {outcome}")
                given_up.add(trial_id)
                continue
            of_trial = values.setdefault(trial_id, {})
            for name, value in outcome.items():
                of_trial.setdefault(name, []).append(value)
            write_remeasured(directory, values)


def _outcome(workers: Workers, job: Job) -> dict[str, float] | str:
    """What `measure_again` returns, or why its worker did not come to that.

    Raises:
        PrimoError: If no other job will fare better.
        KeyboardInterrupt: On Ctrl-C.
    """
    future = workers.submit(measure_again, job, seconds=job.options.trial_timeout)
    workers.first_done([future])
    try:
        return future.result()
    except (DeviceAwayError, DeviceMismatchError, DeviceRefusedError):
        raise
    except Exception as error:
        return f"{type(error).__name__}: {first_line(str(error))}"


def _due(
    plan: TrainingPlan,
    events: Sequence[Event],
    values: dict[int, dict[str, list[float]]],
    names: Sequence[str],
    *,
    times: int,
    without: set[int],
) -> list[int]:
    """The trials that are to be measured next, in turn, each as often as it is still to be."""
    contenders = Contenders(plan.problem, names)
    for event, _ in with_remeasured(plan.problem, events, values):
        if isinstance(event, Evaluation):
            contenders.add(event)
    missing = {
        trial_id: times - min((len(values.get(trial_id, {}).get(name, ())) for name in names), default=0)
        # What was begun is finished: half-way through, chance may have taken a trial off the front.
        for trial_id in sorted((contenders.trial_ids | values.keys()) - without)
    }
    return [trial_id for turn in range(times) for trial_id, left in missing.items() if turn < left]
