from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.collections import LineCollection

from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Origin, Status
from tests.results.search_log import ACCURACY, ERROR, LATENCY, PARAMETERS, Log, make_problem, two_objective_log

MEMORY = Objective(name="memory_cpu", kind=Kind.MEASURED)
SIGNATURES = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def three_objective_log() -> Log:
    log = Log(make_problem(ACCURACY, PARAMETERS, LATENCY))
    log.train(0, (0.9, 1000.0, 4.0))
    log.train(1, (0.5, 10.0, 2.0))
    log.train(2, (0.7, 1000.0, 1.0), 3)
    return log


@pytest.mark.parametrize("suffix", SIGNATURES)
def test_pictures_are_saved_as_their_suffix_says(tmp_path: Path, suffix: str) -> None:
    result = two_objective_log().result(tmp_path)
    for draw in (result.plot_front, result.plot_hypervolume):
        path = tmp_path / "new" / f"{draw.__name__}{suffix}"
        draw(path)
        assert path.read_bytes().startswith(SIGNATURES[suffix])
        assert path.stat().st_size > 5000


@pytest.mark.parametrize("suffix", ["", ".jpeg"])
def test_other_suffixes_are_refused(tmp_path: Path, suffix: str) -> None:
    result = two_objective_log().result(tmp_path)
    for draw in (result.plot_front, result.plot_hypervolume):
        with pytest.raises(InvalidArgumentError, match=r"'path' must end with one of \.png, \.svg, \.pdf"):
            draw(tmp_path / f"front{suffix}")
    assert not list(tmp_path.iterdir())


def test_the_front_is_joined_by_its_attainment_surface(tmp_path: Path) -> None:
    axes = two_objective_log().result(tmp_path).plot_front().axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert axes.get_xlabel() == "parameters (lower is better)"
    assert axes.get_ylabel() == "val_error in % (lower is better)"
    corners = axes.lines[0].get_xydata()
    right, top = axes.get_xlim()[1], axes.get_ylim()[1]
    expected = [(10, top), (10, 0.9), (100, 0.9), (100, 0.3), (1000, 0.3), (1000, 0.2), (right, 0.2)]
    np.testing.assert_allclose(np.asarray(corners), expected)


def test_known_trials_have_a_ring(tmp_path: Path) -> None:
    log = two_objective_log()
    assert not any("known" in text for text in legend_of(log.result(tmp_path).plot_front().axes[0]))
    for trial_id, values in ((20, (0.25, 500.0)), (21, (math.nan, 60.0))):
        log.ask(trial_id, origin=Origin.KNOWN)
        log.tell(trial_id, values, cost=0)
    axes = log.result(tmp_path).plot_front().axes[0]
    assert "known before (1)" in legend_of(axes)
    (ring,) = [drawn for drawn in axes.collections if drawn.get_label() == "known before (1)"]
    np.testing.assert_allclose(ring.get_offsets(), [[500.0, 0.25]])


def legend_of(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_the_surface_of_a_maximised_objective_opens_downwards(tmp_path: Path) -> None:
    log = Log(make_problem(ACCURACY, PARAMETERS))
    log.train(0, (0.9, 1000.0))
    log.train(1, (0.5, 10.0))
    axes = log.result(tmp_path).plot_front().axes[0]
    right, bottom = axes.get_xlim()[1], axes.get_ylim()[0]
    expected = [(10, bottom), (10, 0.5), (1000, 0.5), (1000, 0.9), (right, 0.9)]
    np.testing.assert_allclose(np.asarray(axes.lines[0].get_xydata()), expected)


def test_layers_show_every_trial_that_has_values(tmp_path: Path) -> None:
    axes = two_objective_log().result(tmp_path).plot_front().axes[0]
    labels = {str(points.get_label()): len(points.get_offsets()) for points in axes.collections}
    assert labels == {"trained partly (1)": 1, "dominated (1)": 1, "front (3)": 3}


def test_the_third_objective_is_the_colour_of_the_front(tmp_path: Path) -> None:
    result = three_objective_log().result(tmp_path)
    axes, bar = result.plot_front(tmp_path / "three.png").axes
    assert axes.get_xlabel() == "parameters (lower is better)"
    assert axes.get_ylabel() == "accuracy in % (higher is better)"
    assert bar.get_ylabel() == "latency in s (lower is better)"
    assert not axes.lines  # no member of the front lies behind a line
    (front,) = (points for points in axes.collections if str(points.get_label()).startswith("front"))
    colours = np.asarray(front.get_facecolors())
    assert len(np.unique(colours, axis=0)) == 2
    axes, bar = result.plot_front(x="latency", colour="accuracy").axes
    labels = (axes.get_xlabel(), axes.get_ylabel(), bar.get_ylabel())
    assert [label.split()[0] for label in labels] == ["latency", "parameters", "accuracy"]


def test_noisy_members_of_the_front_have_bars(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR, replace(LATENCY, log=True)))
    log.train(0, (0.2, 4.0), deviations={"val_error": 0.05, "latency": 8.0})
    log.train(1, (0.6, 2.0), deviations={"val_error": 0.01})
    log.train(2, (0.9, 9.0), deviations={"val_error": 0.1})  # not on it
    (axes,) = log.result(tmp_path).plot_front().axes
    assert "a standard deviation" in axes.get_legend_handles_labels()[1]
    across, up = (
        [path.vertices.tolist() for path in lines.get_paths()]
        for lines in axes.collections
        if isinstance(lines, LineCollection)
    )
    assert np.allclose(across, [[[0.004, 0.2], [12, 0.2]], [[2, 0.6], [2, 0.6]]])  # no bar ends below 0
    assert np.allclose(up, [[[4, 0.15], [4, 0.25]], [[2, 0.59], [2, 0.61]]])
    (certain,) = two_objective_log().result(tmp_path).plot_front().axes
    assert not [lines for lines in certain.collections if isinstance(lines, LineCollection)]


def test_a_long_name_is_not_cut_off_at_the_edge(tmp_path: Path) -> None:
    log = Log(make_problem(Objective(name="val/accuracy of " + 8 * "the split ", mode="max"), PARAMETERS))
    log.train(0, (0.2, 4.0))
    figure = log.result(tmp_path).plot_front()
    figure.draw_without_rendering()
    label = figure.axes[0].yaxis.label
    assert label.get_text().endswith("… in % (higher is better)")
    assert label.get_window_extent().y1 <= figure.bbox.y1


def test_more_than_three_objectives_give_all_pairs_or_the_two_chosen(tmp_path: Path) -> None:
    log = Log(make_problem(ACCURACY, PARAMETERS, LATENCY, MEMORY))
    log.train(0, (0.9, 1000.0, 4.0, 2e6))
    log.train(1, (0.5, 10.0, 4.0, 3e6))
    result = log.result(tmp_path)
    pairs = [axes.get_xlabel() + "|" + axes.get_ylabel() for axes in result.plot_front(tmp_path / "pairs.png").axes]
    assert pairs == [  # row by row; labels are at the steps of the triangle
        "parameters (lower is better)|accuracy in % (higher is better)",
        "|",
        "|",
        "latency in s (lower is better)|parameters (lower is better)",
        "|",
        "memory_cpu in MB (lower is better)|latency in s (lower is better)",
        "|accuracy in % (higher is better)",
    ]
    (axes,) = result.plot_front(x="latency").axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "latency in s (lower is better)",
        "accuracy in % (higher is better)",
    )
    with pytest.raises(UnknownNameError, match="objective in 'y': 'loss'"):
        result.plot_front(x="latency", y="loss")
    with pytest.raises(UnknownNameError, match="objective in 'colour': 'loss'"):
        result.plot_front(colour="loss")
    with pytest.raises(InvalidArgumentError, match="must be different objectives, got 'y' 'latency' and 'x' 'latency'"):
        result.plot_front(x="latency", y="latency")


def test_members_of_the_front_have_their_numbers(tmp_path: Path) -> None:
    figure = two_objective_log().result(tmp_path).plot_front()
    numbers = {text.get_text(): text for text in figure.axes[0].texts}
    assert set(numbers) == {"1", "2", "4"}
    assert numbers["2"].xy == (100.0, 0.3)  # type: ignore[attr-defined]
    assert (numbers["2"].get_ha(), numbers["2"].get_va()) == (
        "right",
        "top",
    )  # where nothing can be: both are minimised


def test_numbers_cover_no_point_and_no_other_number(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    rng = np.random.default_rng(0)
    for trial_id, (error, size) in enumerate(rng.random((60, 2)).tolist()):
        log.train(trial_id, (error, 10 ** (4 * size)))
    result = log.result(tmp_path)
    figure = result.plot_front()
    axes = figure.axes[0]
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) > len(result.front) / 2
    points = axes.transData.transform([list(trial.values.values())[::-1] for trial in result.trials])
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    assert not any(box.contains(*point) for box in boxes for point in points)


def test_no_number_is_nearer_to_another_member_than_to_its_own(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    exponents = 4.5 - np.cumsum([0.08, 0.25] * 7)  # a steep front, with every other member close to the one before it
    for trial_id, exponent in enumerate(exponents.tolist()):
        log.train(trial_id, (0.01 + 0.002 * trial_id, 10**exponent))
    log.train(len(exponents), (0.9, 2.0))
    result = log.result(tmp_path)
    figure = result.plot_front(x="val_error")
    axes = figure.axes[0]
    figure.draw_without_rendering()
    places = {t.id: axes.transData.transform([*t.values.values()]) for t in result.front}
    numbers = {int(text.get_text()): text.get_window_extent() for text in axes.texts}
    assert 5 < len(numbers) <= len(result.front)
    for trial_id, box in numbers.items():
        distance = {
            other: np.linalg.norm(place - np.clip(place, [box.x0, box.y0], [box.x1, box.y1]))
            for other, place in places.items()
        }
        assert min(distance, key=lambda other: distance[other]) == trial_id


def test_what_is_far_out_is_left_out_and_told_of(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR, LATENCY))
    for trial_id in range(8):
        log.train(trial_id, (0.1 + 0.01 * trial_id, 1e-3 * (9 - trial_id)))
    log.train(8, (0.15, 5.0))  # the machine was busy
    axes = log.result(tmp_path).plot_front().axes[0]
    assert axes.get_title(loc="right") == "1 trial lies beyond the axes"
    assert axes.get_xlim()[1] < 0.02
    assert axes.get_xlabel() == "latency in ms (lower is better)"
    log.train(9, (0.0, 6.0))  # the same, but on the front
    axes = log.result(tmp_path).plot_front().axes[0]
    assert axes.get_title(loc="right") == ""
    assert axes.get_xlim()[1] > 6.0


def test_ticks_are_in_the_unit_of_the_label(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR, PARAMETERS, LATENCY))
    for trial_id, size in enumerate((20.0, 3e3, 9e3)):
        log.train(trial_id, (0.3 - 0.1 * trial_id, size, 2e-3 + 1e-3 * trial_id))
    axes, bar = log.result(tmp_path).plot_front().axes
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    assert [tick.get_text() for tick in axes.get_yticklabels()][1:-1] == ["10", "15", "20", "25", "30"]
    assert {"30", "100", "300", "1k", "3k"} <= {tick.get_text() for tick in axes.get_xticklabels()}
    assert {"2", "3", "4"} <= {tick.get_text() for tick in bar.get_yticklabels()}
    assert bar.get_ylabel() == "latency in ms (lower is better)"


def test_a_figure_is_a_picture_in_a_notebook(tmp_path: Path) -> None:
    result = two_objective_log().result(tmp_path)
    for figure in (result.plot_front(), result.plot_hypervolume(), result.plot_schedules()):
        assert figure._repr_png_().startswith(SIGNATURES[".png"])  # type: ignore[attr-defined]


def test_one_objective_gives_the_best_value_over_the_cost(tmp_path: Path) -> None:
    log = Log(make_problem(ACCURACY))
    log.train(0, (0.95,), 3)  # not at the full budget
    for trial_id, accuracy in enumerate((0.5, 0.8, 0.6), start=1):
        log.train(trial_id, (accuracy,))
    axes = log.result(tmp_path).plot_front(tmp_path / "best.png").axes[0]
    np.testing.assert_allclose(np.asarray(axes.lines[0].get_xydata()), [(12, 0.5), (21, 0.8), (30, 0.8)])
    with pytest.raises(InvalidArgumentError, match="must be different objectives"):
        log.result(tmp_path).plot_front(x="accuracy")


def test_hypervolume_starts_at_zero(tmp_path: Path) -> None:
    axes = two_objective_log().result(tmp_path).plot_hypervolume().axes[0]
    points = np.asarray(axes.lines[0].get_xydata())
    np.testing.assert_allclose(points[:4], [(0, 0), (9, 0.5), (18, 0.8), (21, 0.8)])
    np.testing.assert_allclose(points[-1], (42, 1.6))


@pytest.mark.parametrize("n_objectives", [1, 2, 3])
@pytest.mark.parametrize("n_failed", [0, 1])
def test_without_any_success_the_picture_says_so(tmp_path: Path, n_objectives: int, n_failed: int) -> None:
    log = Log(make_problem(*(ERROR, PARAMETERS, LATENCY)[:n_objectives]))
    for trial_id in range(n_failed):
        log.train(trial_id, (math.nan,) * n_objectives, 4, status=Status.CRASHED)
    result = log.result(tmp_path)
    none = "no trial was trained to the full\nbudget of 9 epochs yet"
    assert ("the only trial failed (crashed)" if n_failed else none) in [
        t.get_text() for t in result.plot_front(tmp_path / "f.png").axes[0].texts
    ]
    assert result.plot_hypervolume(tmp_path / "h.png").axes[0].texts


def test_pictures_leave_matplotlib_as_it_was(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    two_objective_log().result(tmp_path).plot_front(tmp_path / "front.png")
    assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == []
