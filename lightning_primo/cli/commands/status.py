"""``lightning-primo status``: how a search is getting on."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonargparse
from jsonargparse.typing import PositiveFloat

from lightning_primo.checks import printable
from lightning_primo.cli.output import print_json, print_text

if TYPE_CHECKING:
    from lightning_primo.problem import Fidelity
    from lightning_primo.problem.objective import Objective
    from lightning_primo.problem.trial import Evaluation
    from lightning_primo.search.stored_search import StoredSearch


_LEAST_ROOM = 30  # columns, below which nothing is gained by folding
_UNITS = {"data": "of the data"}  # what is said in the place of a unit whose name does not say it


def parser() -> jsonargparse.ArgumentParser:
    """The arguments of the command."""
    made = jsonargparse.ArgumentParser(
        description="Show how a search is getting on, also while it runs: trials, what was spent, what is running, the "
        "size of the front, the rungs, the last error. Nothing in its directory is changed."
    )
    made.add_argument("directory", type=Path, help="the search's directory")
    made.add_argument("--json", action="store_true", help="print JSON instead of text")
    made.add_argument(
        "--watch",
        type=PositiveFloat,
        nargs="?",
        const=5.0,
        metavar="SECONDS",
        help="show it with the front again every so many seconds (5 where none are given), until Ctrl-C",
    )
    return made


def run(options: jsonargparse.Namespace) -> int:
    """Carry out the command.

    Raises:
        StoreError: There is no search in the directory, or its file is damaged.
    """
    if options.watch:
        from lightning_primo.cli.watching import watch_as_json, watch_as_text

        watched = watch_as_json if options.json else watch_as_text
        watched(partial(read, options.directory), as_text, seconds=options.watch)
    elif options.json:
        print_json(read(options.directory))
    else:
        print_text(as_text(read(options.directory)))
    return 0


def read(directory: Path) -> dict[str, Any]:
    """The status of the search in a directory as it is now; see `status_of`."""
    from lightning_primo.search.stored_search import StoredSearch
    from lightning_primo.store import owner_of

    owner = owner_of(directory)
    return status_of(StoredSearch.open(directory), owner)


def status_of(search: StoredSearch, owner: str | None) -> dict[str, Any]:
    """What is shown, as plain values.

    Args:
        search: As it was read.
        owner: Who searches in its directory now, None for nobody.
    """
    from lightning_primo.errors import first_line
    from lightning_primo.problem.trial import Evaluation, fold_events
    from lightning_primo.results.rungs import rungs_of

    problem, result = search.problem, search.findings()
    fidelity = problem.fidelity
    pending = [trial for trial in fold_events(event for event, _ in search.events) if trial.pending is not None]
    told = [event for event, _ in search.events if isinstance(event, Evaluation)]
    failed = next((evaluation for evaluation in reversed(told) if _went_wrong(evaluation)), None)
    return {
        "directory": str(search.directory),
        "searched_by": owner,
        "ended": "" if owner else result.ended(),
        "algorithm": dict(search.algorithm),
        "objectives": [_described(objective) for objective in problem.objectives],
        "constraints": [_described(constraint) for constraint in problem.constraints],
        "hyperparameters": list(search.hyperparameters),
        "unit": fidelity.unit.name,
        fidelity.unit.name: {
            "shortest": fidelity.amount(fidelity.least),
            "full": fidelity.amount(fidelity.full),
        },
        "seed": search.seed,
        "trials": {
            "total": len(result.trials),
            "trained_partly": sum(trial.trained_partly for trial in result.trials),
            "infeasible": len(result.infeasible),
            "by_status": dict(Counter(trial.outcome for trial in result.trials).most_common()),
        },
        "spent": {
            fidelity.unit.name: result.spent,
            "full_trainings": result.full_trainings,
            "hours": search.events[-1][1] / 3600 if search.events else 0.0,
        },
        "pending": [
            {
                "trial": trial.id,
                f"from_{fidelity.unit.singular}": fidelity.amount(trial.epoch),
                f"to_{fidelity.unit.singular}": fidelity.amount(trial.pending or 0),
            }
            for trial in pending
        ],
        "front": {
            "size": len(result.front),
            "hypervolume": result.hypervolume(),
            "reference": result.reference,
            "reached": result.reached_text,
            "note": f"{result.changed_since_told()}{result.out_of_reach()}".strip()
            if result.front
            else result.why_no_front,
            "trials": [{"trial": trial.id, "objectives": dict(trial.values)} for trial in result.front],
        },
        "rungs": [_in_unit(asdict(rung), fidelity) for rung in rungs_of(event for event, _ in search.events)],
        "last_failure": failed
        and {"trial": failed.trial_id, "status": failed.status.value, "reason": first_line(failed.reason)},
    }


def _went_wrong(evaluation: Evaluation) -> bool:
    """Whether a trial was lost, but for one that the user has stopped."""
    from lightning_primo.problem.trial import Status

    return evaluation.status.failed and evaluation.status is not Status.STOPPED


def as_text(status: dict[str, Any]) -> str:
    """The status for a person, a line for each thing."""
    from lightning_primo.results.formatting import format_count, format_duration, format_trainings, format_value

    spent, front, failure = status["spent"], status["front"], status["last_failure"]
    unit, one = status["unit"], status["unit"].removesuffix("s")
    lengths = f"{_number(status[unit]['shortest'])} to {_number(status[unit]['full'])} {_UNITS.get(unit, unit)}"
    units = f"{format_value(spent[unit])} {unit} = " if unit not in _UNITS else ""
    partly, infeasible = status["trials"]["trained_partly"], status["trials"]["infeasible"]
    counts = ", ".join(f"{number} {name}" for name, number in status["trials"]["by_status"].items())
    running = [
        f"trial {p['trial']} ({_at(one, p[f'from_{one}'])} to {_number(p[f'to_{one}'])})" for p in status["pending"]
    ]
    lines = {
        "search": f"{status['algorithm'].get('class', '?')} over {len(status['hyperparameters'])} hyperparameters, "
        f"{lengths}, seed {status['seed']}",
        "objectives": ", ".join(map(_shown, status["objectives"])),
        "constraints": ", ".join(map(_shown, status["constraints"])),
        "trials": f"{status['trials']['total']}"
        + (f" ({counts})" if counts else "")
        + (f", {partly} of them trained partly" if partly else "")
        + (f", {infeasible} infeasible" if infeasible else ""),
        "spent": f"{units}{format_trainings(spent['full_trainings'])}, "
        f"{format_duration(spent['hours'] * 3600)} h of search",
        "running" if status["searched_by"] else "to go on with": ", ".join(running),
        "front": f"{format_count(front['size'], 'trial')}, {front['reached']} {front['note']}".rstrip()
        if front["size"]
        else front["note"],
        "rungs": "; ".join(_rung(rung, one) for rung in status["rungs"]),
        "last failure": failure and f"trial {failure['trial']}, {failure['status']}: {failure['reason']}",
        "ended": status["ended"],
        "process": status["searched_by"] or ("" if status["ended"] else "none searches here now"),
    }
    width = max(map(len, lines))
    shown = [_folded(f"  {name:{width}}  ", printable(text)) for name, text in lines.items() if text]
    return "\n".join([printable(status["directory"]), *shown])


def _folded(begin: str, text: str) -> str:
    """A line; in a terminal that is narrower what goes on below stands below the text."""
    room = shutil.get_terminal_size().columns - len(begin) if sys.stdout.isatty() else 0
    if room < _LEAST_ROOM:
        return f"{begin}{text}"
    folded = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"{begin if number == 0 else ' ' * len(begin)}{line}" for number, line in enumerate(folded))


def _described(objective: Objective) -> dict[str, Any]:
    fields = ("name", "mode", "at_most", "at_least", "reference")
    return {"kind": objective.kind.value, **{name: getattr(objective, name) for name in fields}}


def _in_unit(rung: dict[str, int], fidelity: Fidelity) -> dict[str, float]:
    return {fidelity.unit.singular: fidelity.amount(rung.pop("epoch")), **rung}


def _rung(rung: dict[str, int], one: str) -> str:
    counts = [f"{rung[name]} {name}" for name in ("trained", "lost", "pending") if rung[name]]
    return f"{_at(one, rung[one])}: {', '.join(counts)}"


def _at(one: str, number: float) -> str:
    """Where a training is: ``"epoch 3"``, ``"1/9 of the data"``."""
    return f"{_number(number)} {_UNITS[one]}" if one in _UNITS else f"{one} {_number(number)}"


def _number(number: float) -> str:
    from lightning_primo.problem.fractions_of_data import as_fraction, fraction_text

    return f"{number:,}" if isinstance(number, int) else fraction_text(as_fraction(number) or number)


def _shown(objective: dict[str, Any]) -> str:
    from lightning_primo.results.formatting import format_value

    bounds = [
        f"{label} {format_value(objective[key])}"
        for key, label in (("at_most", "at most"), ("at_least", "at least"))
        if objective[key] is not None
    ]
    return f"{objective['name']} ({', '.join([objective['mode'], *bounds])})"
