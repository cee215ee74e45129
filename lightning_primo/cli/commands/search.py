"""``lightning-primo search``: a Pareto front of an existing LightningCLI project."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonargparse

from lightning_primo.checks import printable
from lightning_primo.cli.interruptions import interruptions
from lightning_primo.cli.main import STOPPED
from lightning_primo.cli.output import print_note, print_text
from lightning_primo.cli.search_file.beginning_options import add_beginning
from lightning_primo.cli.search_file.length_options import add_lengths, name_of_length
from lightning_primo.cli.search_file.limits import full_training, read_budget, read_lengths, read_stop, with_own_epochs
from lightning_primo.cli.search_file.search_file_action import SearchFileAction
from lightning_primo.layout import store_file

if TYPE_CHECKING:
    from lightning_primo.cli.project.project import Project
    from lightning_primo.cli.search_file.space_file import SearchSpace
    from lightning_primo.search import Search

PASSED_ON = ("workers", "keep_all_checkpoints", "trial_timeout", "retry_out_of_memory", "remeasure", "repeats", "folds")
"""The options that are given to `Search` as they are."""

_DESCRIPTION = """Search the hyperparameters and architectures of an existing LightningCLI project. The project's own
config says what is trained, the search file lays a space over its keys. The same command goes on with a search that
was stopped or killed."""


def parser() -> jsonargparse.ArgumentParser:
    """The arguments of the command; most are also entries of a search file."""
    made = jsonargparse.ArgumentParser(description=_DESCRIPTION)
    made.add_argument(
        "--config", action="extend", nargs="+", metavar="FILE", help="the project's config; several are merged"
    )
    made.add_argument(
        "--search",
        action=SearchFileAction,
        metavar="FILE",
        help="a YAML file with what follows",
    )
    made.add_argument(
        "--cli",
        type=str | None,
        metavar="SCRIPT",
        help="the script or function that constructs the project's LightningCLI, as main.py, main.py:function or "
        "package.module:function; only if the config names no classes",
    )
    made.add_argument(
        "--space",
        type=dict | None,
        help="by key of the config: [choices], {float: [low, high], log: true}, {integer: [low, high]} or {choice: "
        "[...], ordered: true}; each may have if: {key: values}",
    )
    made.add_argument(
        "--objectives",
        type=list | None,
        help="such as [{class_path: Metric, init_args: {name: val_acc, mode: max}}, ParameterCount]",
    )
    made.add_argument(
        "--constraints", type=list | None, help="such as [{class_path: FLOPs, init_args: {at_most: 1e7}}]"
    )
    made.add_argument(
        "--algorithm",
        type=str | dict | None,
        help="such as {class_path: PriMO, init_args: {priors: {val_acc: {center: {model.init_args.lr: 1e-3}}}}} "
        "(default: PriMO)",
    )
    add_lengths(made)
    made.add_argument(
        "--stop",
        type=str | dict | list | None,
        help="what ends the search before, such as [NoImprovement, {class_path: Target, init_args: {val_error: 0.05}}]",
    )
    made.add_argument(
        "--directory", type=str | None, help="where everything is kept (default: runs/ and the search file's name)"
    )
    made.add_argument(
        "--workers", type=int | None, help="trainings at a time (default: 1, or as many as the workers of --dask)"
    )
    made.add_argument(
        "--dask", type=str | None, help="train on a Dask cluster: its scheduler's address, or its scheduler file"
    )
    made.add_argument(
        "--seed",
        type=int | None,
        help="all randomness follows from it (default: the config's seed_everything, or 0)",
    )
    made.add_argument(
        "--keep_all_checkpoints", type=bool, default=False, help="keep every trial's weights, not only the front's"
    )
    made.add_argument(
        "--example_inputs",
        type=str | None,
        metavar="package.module.function",
        help="what the model is called with to measure its costs: a function of the configuration in the project, or a "
        "value; an objective's init_args may have their own (default: example_input_array, or a sample of the data)",
    )
    add_beginning(made)
    made.add_argument("--repeats", type=int, default=1, help="with how many seeds each full training is carried out")
    made.add_argument(
        "--folds",
        type=int | None,
        help="on how many folds of the data; the project's data module has a method fold(self, i, k)",
    )
    made.add_argument("--trial_timeout", type=float | None, help="seconds that a trial may take over all its trainings")
    made.add_argument(
        "--retry_out_of_memory",
        type=bool,
        default=True,
        help="try a training that runs out of memory again with smaller micro-batches",
    )
    made.add_argument(
        "--remeasure",
        type=int,
        default=5,
        help="how often the latencies of the front are measured again in the end",
    )
    made.add_argument(
        "--print", action="store_true", dest="only_print", help="show what would be searched, and train one batch"
    )
    made.add_argument("--quiet", action="store_true", help="print warnings and errors alone")
    return made


def run(options: jsonargparse.Namespace) -> int:
    """Carry out the command.

    Returns:
        0, or 130 if Ctrl-C ended the search.

    Raises:
        InvalidArgumentError: If the config or the search file cannot work; nothing was trained.
        ProjectError: If the project's code raised an exception before the search.
        PrimoError: If the search failed.
    """
    from lightning_primo.cli.cluster import cluster_at
    from lightning_primo.cli.project.followers import following
    from lightning_primo.cli.project.linked_epochs import refuse_linked_epochs
    from lightning_primo.cli.project.not_run import not_run
    from lightning_primo.cli.project.project import Project
    from lightning_primo.cli.search_file.beginning_file import own_config_first, with_own_defaults
    from lightning_primo.cli.search_file.space_check import an_example, check_space_fits
    from lightning_primo.cli.search_file.space_file import read_space
    from lightning_primo.results.artifacts import write_artifacts

    with _told_of(options):
        space = read_space(options.space)
    project = Project.open(options.config or [], _script(options))
    cluster = None if options.only_print else options.dask
    with project.active(), interruptions() as received, cluster_at(cluster) as executor:
        with _told_of(options):
            lengths = read_lengths(options, project)
            space = with_own_defaults(space, project)
            asked = _asked(options, space, project)
            full = full_training(lengths, project)
            project = project.for_search(encoded=sorted(space.encoded), choices=space.choices, **full)
            check_space_fits(project, space)
            if "steps" in lengths:
                refuse_linked_epochs(project, an_example(space))
            if options.config_first:
                asked["first"] = [*own_config_first(project, space, show=not options.quiet), *asked["first"]]
            search = _made(options, project, space, executor=executor, **lengths, **asked)
            budget, stop = read_budget(options, search), read_stop(options.stop, search)
            if options.only_print:
                return _tried_out(search, project, space, budget)
            _note(search, project)
        for key in project.left_out:
            print_note(f"{key} of the config is not heeded: the search sets it itself")
        for sentence in (*following(list(space.space), project.follows), *not_run(project)):
            print_note(sentence)
        with _told_of(options):
            result = search.run(**budget, stop=stop, progress=not options.quiet)
        write_artifacts(result, show=not options.quiet)
    return STOPPED if received else 0


def _asked(options: jsonargparse.Namespace, space: SearchSpace, project: Project) -> dict[str, Any]:
    """Objectives, constraints, algorithm, and what is known or to be tried first."""
    from lightning_primo.cli.search_file.beginning_file import read_continues, read_first, read_known
    from lightning_primo.cli.search_file.search_file import read_algorithm, read_constraints, read_objectives

    return {
        "objectives": read_objectives(options.objectives or []),
        "constraints": read_constraints(options.constraints or []),
        "algorithm": read_algorithm(options.algorithm, space),
        "first": read_first(options.first or [], space),
        "known": read_known(options.known or [], space, project, length=name_of_length(options)),
        "continues": read_continues(options.continues, space, project),
    }


def _made(options: jsonargparse.Namespace, project: Project, space: SearchSpace, **asked: Any) -> Search:
    """The search that the options describe, once model, data and callbacks could be made for one configuration."""
    from lightning_primo.cli.project.user_code import user_code
    from lightning_primo.cli.search_file.inputs_file import of_project, resolve_in
    from lightning_primo.cli.search_file.space_check import an_example
    from lightning_primo.search import Search

    resolve_in((*asked["objectives"], *asked["constraints"]), project)
    search = Search(
        space.space,
        module=project.module,
        datamodule=project.data,
        example_inputs=of_project(project, options.example_inputs),
        directory=_directory(options),
        trainer=project.trainer if options.data is None else functools.partial(with_own_epochs, project),
        seed=(project.seed or 0) if options.seed is None else options.seed,
        **{name: options[name] for name in PASSED_ON},
        **asked,
    )
    example = an_example(space)
    with user_code(f"making model, data and callbacks for {example}"):
        project.module(example)
        project.data(example)
        project.trainer(example)
    return search


def _tried_out(search: Search, project: Project, space: SearchSpace, budget: dict[str, Any]) -> int:
    """Show what would be searched, and train one batch of it."""
    from lightning_primo.cli.project.user_code import user_code
    from lightning_primo.cli.search_file.preview import preview

    print_text(preview(search, project, space, budget=budget))
    failures: list[BaseException] = []
    logged = search.preflight(report=failures.append)
    for failure in failures:
        with user_code("training one batch"):
            raise failure
    if logged is None:
        print_text("one batch: not trained, as a bound rejects the first configuration")
    else:
        print_text(f"one batch: trained; logged: {', '.join(map(printable, sorted(logged))) or 'nothing'}")
    return 0


def _script(options: jsonargparse.Namespace) -> str | None:
    """The project's script; one that is not found from here on is looked for beside the search file."""
    cli: str | None = options.cli
    file = _file_of(options)
    if cli is None or file is None:
        return cli
    place = cli.rpartition(":")[0] if ".py:" in cli else cli
    beside = file.parent / place
    return str(beside.absolute()) + cli[len(place) :] if not Path(place).is_file() and beside.is_file() else cli


def _directory(options: jsonargparse.Namespace) -> str:
    file = _file_of(options)
    return options.directory or str(Path("runs") / (file.stem if file else "search"))


def _file_of(options: jsonargparse.Namespace) -> Path | None:
    """The search file; the last of several."""
    files = options.get("search")
    return Path(str(files[-1])).absolute() if files else None


def _note(search: Search, project: Project) -> None:
    """Write what the search is made over into its directory, unless another search is there."""
    from lightning_primo.store import owner_of

    begun = store_file(search.directory).exists() and bool(search.result().trials)
    project.write(search.directory, anew=not begun and owner_of(search.directory) is None)


@contextmanager
def _told_of(options: jsonargparse.Namespace) -> Iterator[None]:
    """Name the search file in what is wrong with its entries."""
    from lightning_primo.errors import InvalidArgumentError, MetricNotLoggedError

    file = _file_of(options)
    try:
        yield
    except (InvalidArgumentError, MetricNotLoggedError) as error:
        if file is None:
            raise
        raise InvalidArgumentError(f"{file.name}: {error}") from error
