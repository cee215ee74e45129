"""What a search leaves behind for a person: the front in words, the table of all trials, the pictures."""

from __future__ import annotations

from lightning_primo.checks import printable_lines
from lightning_primo.layout import front_picture, hypervolume_picture, report_file, table_file
from lightning_primo.results.result import Result


def write_artifacts(result: Result, *, show: bool = True) -> None:
    """Print the front, and write the table and the pictures into the search's directory.

    They are ``trials.csv`` and, once there is a front, ``front.png`` and, of several objectives, ``hypervolume.png``.
    """
    result.directory.mkdir(parents=True, exist_ok=True)
    table = table_file(result.directory)
    result.to_pandas().to_csv(table, index=False)
    lines = [result.summary(), f"table of all trials: {table}"]
    if result.front:
        front = front_picture(result.directory)
        result.plot_front(front)
        if len(result.problem.objectives) == 1:
            lines.append(f"picture of the best value over cost: {front}")
        else:
            hypervolume = hypervolume_picture(result.directory)
            result.plot_hypervolume(hypervolume)
            lines += [f"picture of the front: {front}", f"picture of the hypervolume over cost: {hypervolume}"]
    if (report := report_file(result.directory)).exists():  # which the search has left
        lines.append(f"report: {report}")
    if show:
        print(printable_lines("\n".join(lines)))
