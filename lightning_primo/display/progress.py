"""What a person sees while a search runs: a live display on a terminal, a line per evaluation elsewhere, or nothing."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import IO

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lightning_primo.checks import printable
from lightning_primo.display.notebook import NotebookLive
from lightning_primo.display.snapshot import Snapshot
from lightning_primo.display.streams import RedirectedStreams
from lightning_primo.errors import first_line
from lightning_primo.problem import BY_EPOCHS, Fidelity, Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.results.formatting import (
    folded,
    format_count,
    format_duration,
    format_spent,
    format_value,
    format_values,
)
from lightning_primo.results.front import reached_text

MAX_ROWS = 8
"""Members of the front that the live display shows at most."""


class Progress:
    """Is told what happens in a search and shows it; a context manager around the search. This base shows nothing.

    The search waits for these methods, so they return at once, and they are called from one thread.
    """

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the terminal as it was, also after an exception or Ctrl-C."""

    def started(self, proposal: Proposal) -> None:
        """A proposal is being carried out from now on."""

    def finished(self, proposal: Proposal, evaluation: Evaluation, snapshot: Snapshot) -> None:
        """An evaluation came back.

        Args:
            proposal: What was asked.
            evaluation: What came of it.
            snapshot: Where the search stands with it.
        """


class PlainProgress(Progress):
    """Writes a line per finished evaluation, for logs and for terminals without control sequences.

    Args:
        objectives: The objectives, in the order of the losses.
        fidelity: The lengths of trainings.
        stream: Where to write; default: standard error at the time of writing.
    """

    def __init__(
        self, objectives: Sequence[Objective], *, fidelity: Fidelity = BY_EPOCHS, stream: IO[str] | None = None
    ) -> None:
        self._objectives = tuple(objectives)
        self._fidelity = fidelity
        self._stream = stream

    def finished(self, proposal: Proposal, evaluation: Evaluation, snapshot: Snapshot) -> None:
        """Write the line."""
        print(printable(self._line(evaluation, snapshot)), file=self._stream or sys.stderr, flush=True)

    def _line(self, evaluation: Evaluation, snapshot: Snapshot) -> str:
        spent = format_spent(snapshot.spent, snapshot.total, snapshot.unit)
        whole = format_spent(snapshot.total, snapshot.total, snapshot.unit)  # the longest, for the lines to be aligned
        parts = [
            f"[{spent.rjust(len(whole))}] trial {evaluation.trial_id} -> {self._fidelity.unit.at(evaluation.epoch)}: "
            f"{outcome(self._objectives, evaluation)}",
            f"front {len(snapshot.front)}{_not_on_front(snapshot)}",
            _reached(self._objectives, snapshot),
        ]
        failures = sum(snapshot.failures.values())
        return " | ".join(filter(None, [*parts, f"failures {failures}" if failures else ""]))


def outcome(objectives: Sequence[Objective], evaluation: Evaluation) -> str:
    """What came of an evaluation on one line: the objectives' values, or how it failed and why."""
    if evaluation.status is Status.OK:
        pairs = zip(objectives, evaluation.losses, strict=True)
        return format_values({objective.name: objective.value(loss) for objective, loss in pairs})
    reason = printable(first_line(evaluation.reason))
    return f"{evaluation.status.value} ({reason})" if reason else evaluation.status.value


class RichProgress(Progress):
    """A live display on a terminal or in Jupyter: the budget, the trials, the failures and the front.

    It is drawn by a thread of its own twice a second, so that being told of an evaluation costs next to nothing.

    Args:
        objectives: The objectives, in the order of the losses.
        fidelity: The lengths of trainings.
        start: Where the search stands at the beginning; None: nothing is known before the first evaluation.
        console: Where to draw; default: standard error.
        clock: Seconds since any fixed time.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        *,
        fidelity: Fidelity = BY_EPOCHS,
        start: Snapshot | None = None,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._objectives = tuple(objectives)
        self._fidelity = fidelity
        self._snapshot = start
        self._running: dict[int, Proposal] = {}
        self._last = ""
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._began = clock()
        self._origin = None if start is None else (self._began, start.spent)  # where the estimate counts from
        self._stack = ExitStack()

    def __enter__(self) -> RichProgress:
        with ExitStack() as stack:
            stack.enter_context(NotebookLive(self.render) if self._console.is_jupyter else self._live())
            if self._console.is_terminal:
                stack.enter_context(RedirectedStreams(self._console))
            self._stack = stack.pop_all()
        return self

    def _live(self) -> Live:
        return Live(
            console=self._console,
            get_renderable=self.render,
            refresh_per_second=2,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running = {}
        self._stack.close()

    def started(self, proposal: Proposal) -> None:
        """Add it to what is being trained."""
        self._running = {**self._running, proposal.trial_id: proposal}

    def finished(self, proposal: Proposal, evaluation: Evaluation, snapshot: Snapshot) -> None:
        """Keep what the next drawing needs."""
        # Values are replaced, never changed, as the drawing thread may be reading them.
        self._running = {number: other for number, other in self._running.items() if number != proposal.trial_id}
        self._snapshot = snapshot
        self._origin = self._origin or (self._clock(), snapshot.spent)
        place = self._fidelity.unit.at(evaluation.epoch)
        self._last = f"trial {evaluation.trial_id}, {place}: {outcome(self._objectives, evaluation)}"

    def render(self) -> RenderableType:
        """What is drawn."""
        snapshot, running = self._snapshot, self._running
        lines: list[RenderableType] = [self._budget(snapshot)]
        if snapshot is not None:
            lines.append(self._counts(snapshot))
            if reached := _reached(self._objectives, snapshot):
                lines.append(Text(reached))  # in several lines rather than cut
        if running:
            tasks = ", ".join(f"trial {p.trial_id} to {self._fidelity.unit.at(p.epoch)}" for p in running.values())
            lines.append(_line("training  ", tasks))
        if self._last:
            lines.append(_line("last      ", self._last))
        if snapshot is not None and (snapshot.front or snapshot.partly.count or snapshot.n_infeasible):
            lines.append(self._front(snapshot))
        return Group(*lines)

    def _budget(self, snapshot: Snapshot | None) -> RenderableType:
        now = self._clock()
        elapsed = f"elapsed {format_duration(now - self._began)}"
        if snapshot is None:
            return Text(elapsed)
        since, spent = self._origin or (now, snapshot.spent)
        gained = snapshot.spent - spent
        left = (now - since) * max(snapshot.total - snapshot.spent, 0.0) / gained if gained > 0 else math.nan
        share = min(snapshot.spent / snapshot.total, 1.0)
        row = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(4):
            row.add_column(no_wrap=True)
        row.add_row(
            ProgressBar(total=1.0, completed=share, width=30),
            Text(f"{share:.0%}", style="bold"),
            Text(format_spent(snapshot.spent, snapshot.total, snapshot.unit)),
            Text(f"{elapsed}, left {format_duration(left)}", style="dim"),
        )
        return row

    def _counts(self, snapshot: Snapshot) -> Text:
        trials = f"{format_count(snapshot.n_trials, 'trial')}, {len(self._running)} running"
        failures = ", ".join(f"{number} {status}" for status, number in snapshot.failures.items() if number)
        return Text.assemble(trials, (f", {failures}" if failures else "", "red"), no_wrap=True, overflow="ellipsis")

    def _front(self, snapshot: Snapshot) -> Table:
        members = list(snapshot.front)
        shown = _spread(len(members), MAX_ROWS)
        title = f"front of {len(members)}" + (f" ({len(shown)} shown)" if len(shown) < len(members) else "")
        title += _not_on_front(snapshot)
        partly = snapshot.partly
        table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
        for objective in self._objectives:
            table.add_column(Text("\n".join(folded(objective.name))), justify="right", vertical="bottom")
        if partly.most:
            table.add_column()
        for index in shown:
            table.add_row(*(Text(format_value(members[index][objective.name])) for objective in self._objectives))
        for epoch, losses in partly.most:
            values = [format_value(o.value(loss)) for o, loss in zip(self._objectives, losses, strict=True)]
            table.add_row(*map(Text, values), Text(self._fidelity.unit.at(epoch)), style="dim")
        return table


def _reached(objectives: Sequence[Objective], snapshot: Snapshot) -> str:
    front, reference = snapshot.front, snapshot.reference
    return reached_text(objectives, front=front, hypervolume=snapshot.hypervolume, reference=reference)


def _not_on_front(snapshot: Snapshot) -> str:
    partly = f", {snapshot.partly.count} trained partly" if snapshot.partly.count else ""
    return partly + (f", {snapshot.n_infeasible} infeasible" if snapshot.n_infeasible else "")


def _line(label: str, text: str) -> Text:
    return Text.assemble((label, "dim"), text, no_wrap=True, overflow="ellipsis")


def _spread(count: int, most: int) -> list[int]:
    """At most `most` of the indices below `count`, evenly spread from the first to the last."""
    if count <= most:
        return list(range(count))
    return [round(step * (count - 1) / (most - 1)) for step in range(most)]


def make_progress(
    show: bool, *, problem: Problem, start: Snapshot | None = None, stream: IO[str] | None = None
) -> Progress:
    """The display that fits where the search runs.

    Args:
        show: Whether anything is to be shown.
        problem: What is searched.
        start: Where the search stands at the beginning, which is not zero if it is resumed.
        stream: Where to show it; default: standard error.

    Returns:
        A live display on a terminal and in Jupyter, plain lines elsewhere.
    """
    if not show:
        return Progress()
    console = Console(stderr=True) if stream is None else Console(file=stream)
    if console.is_jupyter or (console.is_terminal and not console.is_dumb_terminal):
        return RichProgress(problem.objectives, fidelity=problem.fidelity, start=start, console=console)
    return PlainProgress(problem.objectives, fidelity=problem.fidelity, stream=stream)
