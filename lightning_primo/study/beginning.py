"""What a search is given beside its problem: configurations to try first, results that are known; how they enter it.

They enter the log before anything else is asked, and what the log has already is left out. So a search that was killed
on the way goes on as if it had not been, and more can be given to one that has begun.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_primo.algorithms import Algorithm
from lightning_primo.checks import shown
from lightning_primo.errors import CorruptStoreError, InvalidArgumentError
from lightning_primo.layout import store_file
from lightning_primo.problem import Problem
from lightning_primo.problem.place import Place
from lightning_primo.problem.trial import Config
from lightning_primo.space import Encoding, completed
from lightning_primo.store import Event, Store
from lightning_primo.study.earlier_search import Continuation, known_source, read_findings, translated
from lightning_primo.study.known_argument import read_known
from lightning_primo.study.known_trials import KnownSource, PlaceHere, evaluation_of, measured_elsewhere, trained_names


def _anywhere(name: str, place: Place) -> Place | None:
    return None


@dataclass(frozen=True)
class Beginning:
    """Given configurations and known results of one problem.

    Attributes:
        first: The configurations that are tried first, in order.
        sources: Where results are known from.
        place_here: Where the search would measure.
    """

    first: tuple[Config, ...] = ()
    sources: tuple[KnownSource, ...] = ()
    place_here: PlaceHere = _anywhere

    @classmethod
    def of(
        cls,
        problem: Problem,
        *,
        directory: Path,
        description: Mapping[str, str],
        first: Any = (),
        known: Any = (),
        continues: str | Path | Continuation | None = None,
        place_here: PlaceHere = _anywhere,
    ) -> Beginning:
        """Check what is given.

        Args:
            problem: What is searched.
            directory: Of the search.
            description: What the search is, as text by key.
            first: Configurations; what they leave out has the space's defaults.
            known: As for `read_known`.
            continues: The search that this one goes on from; may be gone when this one has begun.
            place_here: Where the search would measure; is asked when the results enter it. Default: nobody knows.

        Raises:
            UnknownNameError: For a name that is neither a hyperparameter nor an objective.
            InvalidArgumentError: For anything else that is none of what is expected.
        """
        encoding = Encoding(problem.space)
        if isinstance(first, (str, bytes)) or not isinstance(first, Sequence):
            raise InvalidArgumentError(f"'first' must be a list of configurations, such as [{{}}], got {shown(first)}")
        configs: list[Config] = [
            completed(config, encoding, f"entry {n} of 'first'") for n, config in enumerate(first, start=1)
        ]
        sources = read_known(known, problem, encoding, description)
        if continues is not None:
            before, proven = _continued(continues, problem, encoding, directory, description)
            sources += before
            configs += proven
        return cls(tuple(configs), tuple(sources), place_here)

    def enqueue(self, algorithm: Algorithm) -> None:
        """Tell a started algorithm of the configurations that are tried first, without recording them."""
        for config in self.first:
            algorithm.enqueue(config)

    def enter(self, algorithm: Algorithm, store: Store, *, elapsed: float) -> list[str]:
        """Record what is new in it, and tell the algorithm.

        Args:
            algorithm: Restored from the log.
            store: The log, open for writing.
            elapsed: Seconds that the search has been running.

        Returns:
            For people: what was taken over, and what not; nothing where nothing is new.
        """
        told = (
            _learn(source, algorithm, store, elapsed=elapsed, place_here=self.place_here) for source in self.sources
        )
        sentences = [text for text in told if text]
        encoding = algorithm.encoding
        there = {encoding.key(config) for config in store.added()}
        for config in self.first:
            if encoding.key(config) not in there and not algorithm.seen(config):
                there.add(encoding.key(config))
                store.add(config, elapsed=elapsed)
                algorithm.enqueue(config)
        return sentences


def restore(algorithm: Algorithm, problem: Problem, store: Store, *, seed: int) -> list[Event]:
    """Start an algorithm, and bring it to where its log has come.

    Args:
        algorithm: The algorithm.
        problem: What is searched.
        store: The log.
        seed: The search's.

    Returns:
        What was asked and told.

    Raises:
        CorruptStoreError: The log holds what the algorithm never asked or was told.
    """
    events = store.events()
    algorithm.start(problem, seed=seed)
    try:
        for config in store.added():
            algorithm.enqueue(config)
        algorithm.restore(event for event, _ in events)
    except Exception as error:
        raise CorruptStoreError(
            f"{str(store.path)!r} holds what {type(algorithm).__name__} never asked or was told "
            f"({type(error).__name__}: {error}); was it written by another version? Start in a new directory"
        ) from error
    return events


def _learn(source: KnownSource, algorithm: Algorithm, store: Store, *, elapsed: float, place_here: PlaceHere) -> str:
    """Tell of the results that no trial has; what is to be said of it."""
    encoding, problem = algorithm.encoding, algorithm.problem
    reached: dict[str, int] = {}
    for trial, key in zip(algorithm.trials, encoding.keys_of(algorithm.vectors(algorithm.trials)), strict=True):
        reached[key] = max(reached.get(key, 0), trial.epoch if trial.known else problem.max_epochs)
    settled: dict[str, Place] = {}
    for trial in algorithm.trials:
        for told in trial.evaluations:
            settled = {**told.measured_on, **settled}
    n_taken, left_out = 0, Counter[str]()
    for known in source.trials:
        key = encoding.key(known.config)
        if reached.get(key, 0) >= known.epoch:
            continue
        if elsewhere := measured_elsewhere(known, settled, place_here):
            left_out[elsewhere] += 1
            continue
        evaluation = evaluation_of(known, problem, len(algorithm.trials))
        if isinstance(evaluation, str):
            left_out[evaluation] += 1
            continue
        settled = {**evaluation.measured_on, **settled}
        proposal = algorithm.known_trial(known.config, known.epoch)
        store.learn(proposal, evaluation, elapsed=elapsed)
        algorithm.register(proposal)
        algorithm.tell(evaluation)
        reached[key] = known.epoch
        n_taken += 1
    is_new = n_taken > 0 or all(trial.known for trial in algorithm.trials)
    return source.account(n_taken=n_taken, left_out=left_out) if is_new else ""


def _continued(
    continues: Any, problem: Problem, encoding: Encoding, directory: Path, description: Mapping[str, str]
) -> tuple[list[KnownSource], list[Config]]:
    """What is known from the search that this one goes on from; its front, to be tried first, where nothing is."""
    before = continues if isinstance(continues, Continuation) else Continuation(continues)
    old = Path(before.directory)
    if old == directory:
        raise InvalidArgumentError(
            f"'continues' names {str(old)!r}, the search's own directory; to go on with a search as it is, give "
            "`run` a larger budget, and to change it, give it another directory"
        )
    if not store_file(old).exists() and store_file(directory).exists():
        return [], []  # it has begun, so that it has taken over what there was
    name = f"the search of {str(old)!r}"
    found = read_findings(old, "continues", description)
    there = {objective.name for objective in found.problem.objectives}
    missing = [trained for trained in trained_names(problem) if trained not in there]
    if missing:
        reason = f"without {missing[0]!r}, which comes of training"
        source = KnownSource(name=name, trials=(), left_out={reason: len(found.trials)})
    else:
        source = known_source(name, found, problem, encoding, any_length=before.any_length)
    fully = any(trial.epoch == problem.max_epochs or trial.finished for trial in source.trials)
    if fully:
        return [source], []
    proven = translated([trial.config for trial in _plain(found.front)], encoding)
    if not proven:
        return [source], []
    n = len(proven)
    remark = (
        f"The {n} configurations of its front are tried first" if n > 1 else "Its best configuration is tried first"
    )
    return [replace(source, remark=remark)], proven


def _plain(front: Iterable[Any]) -> list[Any]:
    """The trials that were trained with one configuration all along, from the start."""
    return [trial for trial in front if len(trial.schedule) < 2 and not trial.inherits]
