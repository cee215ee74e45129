"""``lightning-primo remeasure``: which networks of a front are quicker, measured in turn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import jsonargparse
from jsonargparse.typing import PositiveFloat

from lightning_primo.cli.output import print_json, print_note, print_table
from lightning_primo.errors import InvalidArgumentError

if TYPE_CHECKING:
    from lightning_primo.objectives import Latency
    from lightning_primo.results.once_more.latency_order import LatencyOrder
    from lightning_primo.search.stored_search import StoredSearch


def parser() -> jsonargparse.ArgumentParser:
    """The arguments of the command."""
    made = jsonargparse.ArgumentParser(
        description="Measure the latencies of a front once more on this machine, some milliseconds of each network in "
        "turn, so that what slows the machine meets all alike: their ratios, and which of them are not told apart. "
        "Nothing is kept, and the search's result stays as it is."
    )
    made.add_argument("directory", type=Path, help="the search's directory")
    made.add_argument(
        "--trust", action="store_true", help="run the code that the search's directory names, to build the networks"
    )
    made.add_argument(
        "--config",
        action="extend",
        nargs="+",
        metavar="FILE",
        help="in place of --trust: your own config of the project; several are merged",
    )
    made.add_argument("--cli", type=str | None, metavar="SCRIPT", help="with --config: the script, as for the search")
    made.add_argument("--latency", type=str, metavar="NAME", help="which latency, where the search has several")
    made.add_argument("--seconds", type=PositiveFloat, default=2.0, help="of calls of each network (default: 2)")
    made.add_argument(
        "--example_inputs",
        type=str | None,
        metavar="package.module.function",
        help="what the networks are called with; to be given again where the search was given it",
    )
    made.add_argument("--json", action="store_true", help="print JSON, an object per trial")
    return made


def run(options: jsonargparse.Namespace) -> int:
    """Carry out the command.

    Raises:
        StoreError: There is no search in the directory, or its file is damaged.
        InvalidArgumentError: The search has no such latency, it was measured on a device that serves measurements, or
            the user has not said whose code may be run.
        PrimoError: The front is empty, this is another device, or a network cannot be built or measured.
    """
    from lightning_primo.cli.project.trust import trusted_project
    from lightning_primo.cli.search_file.inputs_file import of_project
    from lightning_primo.errors import PrimoError
    from lightning_primo.factory import Factory
    from lightning_primo.search.front_timing import FrontTimer
    from lightning_primo.search.stored_search import StoredSearch
    from lightning_primo.training.process_state import quiet_lightning

    search = StoredSearch.open(options.directory)
    latencies = _latencies(search, options.latency)
    project = trusted_project(
        search.directory,
        configs=options.config or [],
        cli=options.cli,
        trust=options.trust,
        what="'remeasure'",
    )
    if project is None:
        raise InvalidArgumentError(
            "the search was made in Python, so only its own code builds its networks: Search(...).result().remeasure()"
        )
    found = search.findings()
    if not found.front:
        raise PrimoError(f"there is nothing to measure: {found.why_no_front}; search on, with a larger budget")
    factory = Factory(project.module, project.data, example_inputs=of_project(project, options.example_inputs))
    with project.active(), quiet_lightning():
        timer = FrontTimer(factory, latencies, search.seed)
        order = timer(found.front, options.latency, seconds=options.seconds, show=True)
    if options.json:
        print_json(json.loads(order.to_pandas().to_json(orient="records", double_precision=15)))
    else:
        show(order)
    return 0


def show(order: LatencyOrder) -> None:
    """Print a row per trial, the quickest first, and what is not known."""
    from lightning_primo.results.formatting import format_value
    from lightning_primo.results.units import unit_of

    unit = unit_of(order.objective, [order.latency(trial) for trial in order.trials])
    rows = []
    for trial in order.trials:
        ratio = order.ratio(trial, order.trials[0])
        first = trial is order.trials[0]
        rows.append(
            [
                str(trial.label),
                unit.text(order.latency(trial)),
                unit.text(order.deviation(trial)),
                unit.text(trial.values[order.objective.name]),
                "1" if first else f"{ratio.value:.3f}",
                "" if first else f"{ratio.low:.3f} to {ratio.high:.3f}",
                ", ".join(map(format_value, order.like(trial))),
            ]
        )
    header = ["trial", order.objective.name, "±", "in the search", "ratio", "by 95 %", "not told apart from"]
    print_table(header, rows)
    if len(order.trials) == 1:
        print_note("the front has one member, which there is nothing to compare with")
    elif order.undecided:
        print_note(f"pairs that are not told apart: {len(order.undecided)}; more --seconds make the intervals narrower")
    else:
        print_note("all are told apart")


def _latencies(search: StoredSearch, name: str | None) -> list[Latency]:
    """The search's latencies as its log describes them; of those that are not asked for one that cannot be made."""
    from lightning_primo.objectives.latency import Latency

    described = json.loads(search.description["objectives"])
    of_class = {key: entry for key, entry in described.items() if entry["class"] == Latency.__qualname__}
    asked = {key: entry for key, entry in of_class.items() if name in (None, key)}
    return [Latency.described(key, entry) for key, entry in (asked or of_class).items()]
