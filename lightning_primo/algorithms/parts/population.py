"""A population whose members train in step: who is behind, who is replaced, and whose training may be taken over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lightning_primo.algorithms.halving import Ranking
from lightning_primo.algorithms.parts.feasibility import Feasibility
from lightning_primo.problem.trial import Evaluation, Trial


@dataclass
class Population:
    """The trials of one population, by the places that they have in it.

    A place is filled by a new configuration, and refilled by whoever replaces its trial.

    Args:
        feasibility: What is known of the bounds on what is trained.
        ranking: Order of losses.
        size: How many places there are.
        epochs: At which members are compared, ascending; `R` is the last.
        share: Of the members, how many are replaced and how many are copied.
        trials: All of the search, by their ids; kept up to date by who owns them.
    """

    feasibility: Feasibility
    ranking: Ranking
    size: int
    epochs: tuple[int, ...]
    share: float
    trials: list[Trial] = field(repr=False)
    places: list[list[int]] = field(init=False)
    _place_of: dict[int, int] = field(init=False, default_factory=dict)
    _results: dict[int, dict[int, Evaluation]] = field(init=False)
    _parents: dict[int, set[int]] = field(init=False)  # whose training may be taken over, by the epoch
    _ranked: dict[int, tuple[tuple[int, int], list[int]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.places = [[] for _ in range(self.size)]
        self._results = {epoch: {} for epoch in self.epochs}
        self._parents = {epoch: set() for epoch in self.epochs[:-1]}

    @property
    def done(self) -> bool:
        """Whether no member has anything left to do."""
        return all(self._is_done(place) for place in range(self.size))

    def waiting(self) -> list[int]:
        """The places that something is to be proposed for, the one that is furthest behind first."""
        places = [place for place in range(self.size) if self._is_waiting(place)]
        return sorted(places, key=lambda place: (self.epoch(place), place))

    def member(self, place: int) -> Trial | None:
        """The trial in a place; None before the first."""
        return self.trials[self.places[place][-1]] if self.places[place] else None

    def is_lost(self, place: int) -> bool:
        """Whether a place has no trial that could go on."""
        trial = self.member(place)
        return trial is None or (trial.pending is None and not trial.evaluations[-1].ok)

    def epoch(self, place: int) -> int:
        """The epoch that the trial in a place has reached; 0 without one."""
        trial = self.member(place)
        return 0 if trial is None else trial.epoch

    def next_epoch(self, epoch: int) -> int:
        """Where members are compared next after `epoch`, which is less than `R`."""
        return next(other for other in self.epochs if other > epoch)

    def join(self, trial: Trial) -> None:
        """Take in a new trial: it begins in the first empty or lost place, or replaces a member of its parent's epoch.

        The place is a function of what was asked and told alone, so that it is the same when that is replayed.
        """
        place = next(filter(lambda place: self._is_open_to(trial, place), self.waiting()))
        self.places[place].append(trial.id)
        self._place_of[trial.id] = place
        self._give_up_parents()

    def went_on(self) -> None:
        """Take note that a member is continued."""
        self._give_up_parents()

    def told(self, trial: Trial, target: int, evaluation: Evaluation) -> None:
        """Take in what came of a member's training up to `target`."""
        if evaluation.ok:
            self._results[target][trial.id] = evaluation
            if not evaluation.finished and target in self._parents:
                self._parents[target].add(trial.id)
        self._give_up_parents()

    def fork_epoch(self, place: int) -> int | None:
        """The epoch from which whoever replaces the member of a place goes on; None if it is not to be replaced.

        Who is among the worst of those that have come so far is replaced there; who was lost, where it set out from.
        """
        if not self.places[place]:
            return None
        epoch = self.epoch(place)
        if self.is_lost(place):
            return epoch or self.epochs[0]
        order = self._order(epoch)
        worst = order[len(order) - self._n_chosen(epoch) :]
        return epoch if self.places[place][-1] in worst else None

    def parents(self, epoch: int) -> list[Trial]:
        """The best at `epoch` whose training can be taken over from there, best first."""
        best = self._order(epoch)[: self._n_chosen(epoch)]
        return [self.trials[trial_id] for trial_id in best if trial_id in self._parents.get(epoch, ())]

    def may_be_parent(self, trial: Trial, epoch: int) -> bool:
        """Whether a member that is behind, or at `epoch`, may still take over the training of `trial` from there."""
        return trial.id in self._parents.get(epoch, ())

    def is_member(self, trial: Trial) -> bool:
        """Whether a trial is in its place, and not replaced."""
        return self.places[self._place_of[trial.id]][-1] == trial.id

    def _give_up_parents(self) -> None:
        """Forget, for good, whose training nobody can take over any more: its checkpoint may go."""
        for epoch, parents in self._parents.items():
            parents.difference_update([i for i in parents if not self._is_wanted(self.trials[i], epoch)])

    def _is_wanted(self, trial: Trial, epoch: int) -> bool:
        went_on = trial.epoch > epoch or trial.pending is not None
        if not trial.evaluations[-1].ok or not (went_on or self.is_member(trial)):
            return False  # lost since, or replaced here
        others = (place for place in range(self.size) if place != self._place_of[trial.id])
        return any(self.epoch(place) <= epoch and not self._is_done(place) for place in others)

    def _is_done(self, place: int) -> bool:
        trial = self.member(place)
        if trial is None or trial.pending is not None or not trial.evaluations[-1].ok:
            return False
        last = trial.evaluations[-1]
        return last.finished or last.epoch >= self.epochs[-1]

    def _is_waiting(self, place: int) -> bool:
        trial = self.member(place)
        return trial is None or (trial.pending is None and not self._is_done(place))

    def _is_open_to(self, trial: Trial, place: int) -> bool:
        if trial.start_epoch:
            return self.fork_epoch(place) == trial.start_epoch
        return self.is_lost(place)

    def _n_chosen(self, epoch: int) -> int:
        """How many of those that have come to `epoch` are the best, and how many the worst.

        One at least of two: of members that come one after another, each compared with those before it, about as many
        are then among the worst as if all had waited for the last one (of 8 with a share of 1/4: 2.15, not 2).
        """
        n = len(self._results.get(epoch, {}))
        return min(n // 2, max(1, int(self.share * n + 0.5)))

    def _order(self, epoch: int) -> Sequence[int]:
        """The trials with a result at `epoch`, best first; ranked again only when more is known."""
        results = self._results.get(epoch, {})
        known = len(results), self.feasibility.version
        if epoch not in self._ranked or self._ranked[epoch][0] != known:
            ids = list(results)
            best = self.ranking(self.feasibility.losses([*results.values()])).tolist()
            self._ranked[epoch] = (known, [ids[row] for row in best])
        return self._ranked[epoch][1]
