"""``lightning-primo plot``: pictures of a search."""

from __future__ import annotations

from pathlib import Path

import jsonargparse

from lightning_primo.cli.output import print_text, writing


def parser() -> jsonargparse.ArgumentParser:
    """The arguments of the command."""
    made = jsonargparse.ArgumentParser(
        description="Draw the Pareto front of a search, and how its hypervolume grew with the epochs spent: front.png "
        "and hypervolume.png; of a single objective front.png is its best value over the epochs, and is all. Where "
        "hyperparameters changed while trials were trained, schedules.png has those of the front."
    )
    made.add_argument("directory", type=Path, help="the search's directory")
    made.add_argument(
        "--out",
        type=Path,
        help="a folder for the pictures (default: the search's directory), or a file that ends with .png, .svg or "
        ".pdf for the front alone",
    )
    made.add_argument(
        "--x",
        type=str,
        metavar="OBJECTIVE",
        help="on the horizontal axis (default: the second; of four and more: all pairs)",
    )
    made.add_argument("--y", type=str, metavar="OBJECTIVE", help="on the vertical axis (default: the first)")
    made.add_argument(
        "--colour",
        type=str,
        metavar="OBJECTIVE",
        help="that colours the front (of three: the one that is left)",
    )
    return made


def run(options: jsonargparse.Namespace) -> int:
    """Carry out the command.

    Raises:
        StoreError: There is no search in the directory, or its file is damaged.
        InvalidArgumentError: For objectives that there are not, or a file that cannot be written.
    """
    from lightning_primo.search import read_result

    result = read_result(options.directory)
    out = options.out or result.directory
    alone = bool(out.suffix) and not out.is_dir()
    front = out if alone else out / "front.png"
    with writing(front):
        result.plot_front(front, x=options.x, y=options.y, colour=options.colour)
    one = len(result.problem.objectives) == 1
    print_text(f"picture of the {'best value over cost' if one else 'front'}: {front}")
    if not alone:
        if not one:
            hypervolume = out / "hypervolume.png"
            with writing(hypervolume):
                result.plot_hypervolume(hypervolume)
            print_text(f"picture of the hypervolume over cost: {hypervolume}")
        if any(len(trial.schedule) > 1 for trial in result.front):
            schedules = out / "schedules.png"
            with writing(schedules):
                result.plot_schedules(schedules)
            print_text(f"picture of how hyperparameters changed: {schedules}")
    return 0
