from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.problem.objective import Objective
from lightning_primo.results import Comparison, Result
from tests.results.search_log import ACCURACY, ERROR, FULL, Log, make_problem

SIZE = Objective(name="size", reference=1.0)


def search(tmp_path: Path, *told: tuple[float, ...], objectives: tuple[Objective, ...] = (ERROR, SIZE)) -> Result:
    log = Log(make_problem(*objectives))
    for trial_id, values in enumerate(told):
        log.train(trial_id, values)
    return log.result(tmp_path)


def make_comparison(tmp_path: Path, **arguments: object) -> Comparison:
    a = search(tmp_path, (0.5, 0.5), (0.2, 0.8))  # 0.25, then 0.25 + 0.3 * 0.2
    b = search(tmp_path, (0.5, 0.9), (0.4, 0.4))  # 0.05, then 0.36
    c = search(tmp_path, (0.9, 0.9), (0.5, 0.5), (0.0, 0.0))  # 0.01, 0.25, 1
    return Comparison({"one": [a, b], "other": [c]}, **arguments)  # type: ignore[arg-type]


def test_at_the_budget_of_the_shortest_search(tmp_path: Path) -> None:
    comparison = make_comparison(tmp_path)
    assert comparison.epochs == 2 * FULL
    final = comparison.final()
    np.testing.assert_allclose(final["one"], [0.31, 0.36])
    np.testing.assert_allclose(final["other"], [0.25])  # what came after the budget does not count


def test_the_full_trainings_to_a_hypervolume_count_up_to_the_budget(tmp_path: Path) -> None:
    comparison = make_comparison(tmp_path)
    to_a_quarter = comparison.full_trainings_to(0.25)
    assert to_a_quarter["one"].tolist() == [1, 2]
    assert to_a_quarter["other"].tolist() == [2]
    assert comparison.full_trainings_to(0.36)["one"].tolist() == [np.inf, 2]
    assert comparison.full_trainings_to(0.3)["other"].tolist() == [np.inf]  # 1 after the budget
    for wrong in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(InvalidArgumentError, match="'hypervolume' must be positive and finite, got"):
            comparison.full_trainings_to(wrong)


def test_a_hypervolume_that_is_rounded_otherwise_is_reached(tmp_path: Path) -> None:
    comparison = make_comparison(tmp_path)
    (volume,) = comparison.final()["other"]
    assert comparison.full_trainings_to(np.nextafter(volume, 1))["other"].tolist() == [2]


def test_the_table_has_the_highest_median_first(tmp_path: Path) -> None:
    table = make_comparison(tmp_path).to_pandas()
    assert table.method.tolist() == ["one", "other"]
    row = table.iloc[0]
    assert row.searches == 2
    np.testing.assert_allclose([row["median"], row["mean"], row.least, row.greatest], [0.335, 0.335, 0.31, 0.36])
    assert row.standard_error == pytest.approx(0.025)  # |0.36 - 0.31| / 2
    assert np.isnan(table.iloc[1].standard_error)


def test_a_comparison_is_its_table(tmp_path: Path) -> None:
    comparison = make_comparison(tmp_path)
    first, header, row, _ = repr(comparison).splitlines()
    assert first == "<Comparison of hypervolumes after 18 epochs, up to the reference point val_error 1, size 1>"
    assert header.split()[:3] == ["method", "searches", "median"]
    assert row.split()[:3] == ["one", "2", "0.335"]
    page = comparison._repr_html_()
    assert "<tr><td>one</td><td>2</td><td>0.335</td>" in page
    assert "<td>-</td>" in page  # a single search has no standard error


def test_the_mean_over_cost_is_a_step_function(tmp_path: Path) -> None:
    table = make_comparison(tmp_path).hypervolume_over_cost()
    one = table[table.method == "one"]
    assert one.epochs.tolist() == [0, FULL, 2 * FULL]
    np.testing.assert_allclose(one["mean"], [0.0, 0.15, 0.335])
    assert one.full_trainings.tolist() == [0, 1, 2]


def test_fronts_are_pooled_over_the_searches_of_a_method(tmp_path: Path) -> None:
    fronts = make_comparison(tmp_path).fronts()
    np.testing.assert_allclose(fronts["one"], [[0.2, 0.8], [0.4, 0.4]])
    np.testing.assert_allclose(fronts["other"], [[0.5, 0.5]])


def test_maximised_objectives_keep_their_sign(tmp_path: Path) -> None:
    a = search(tmp_path, (0.9, 0.5), (0.6, 0.2), objectives=(ACCURACY, SIZE))
    comparison = Comparison({"a": [a]})
    np.testing.assert_allclose(comparison.fronts()["a"], [[0.9, 0.5], [0.6, 0.2]])
    assert comparison.reference == {"accuracy": 0.0, "size": 1.0}
    np.testing.assert_allclose(comparison.final()["a"], [0.9 * 0.5 + 0.6 * 0.3])


def test_one_reference_for_all_where_the_objectives_have_none(tmp_path: Path) -> None:
    free = Objective(name="seconds")
    a = search(tmp_path, (0.5, 2.0), (0.5, 1.0), objectives=(ERROR, free))
    b = search(tmp_path, (0.5, 11.0), (0.6, 11.0), objectives=(ERROR, free))
    comparison = Comparison({"a": [a], "b": [b]})
    assert comparison.reference["seconds"] == pytest.approx(12.0)  # a tenth of the range beyond the worst
    np.testing.assert_allclose(comparison.final()["a"], [0.5 * 11.0])
    np.testing.assert_allclose(comparison.final()["b"], [0.5 * 1.0])


@pytest.mark.parametrize("n_objectives", [1, 2, 3])
def test_a_picture_for_any_number_of_objectives(tmp_path: Path, n_objectives: int) -> None:
    objectives = (ERROR, Objective(name="size", log=True), ACCURACY)[:n_objectives]
    rows = [(0.5, 100.0, 0.4)[:n_objectives], (0.3, 1000.0, 0.6)[:n_objectives]]
    result = search(tmp_path, *rows, objectives=objectives)
    path = tmp_path / "pictures" / "comparison.png"
    figure = Comparison({"a": [result, result], "b": [result]}).plot(path)
    assert path.stat().st_size > 5_000
    assert len(figure.axes) == n_objectives


def test_a_search_without_a_full_training_counts_as_zero(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR, SIZE))
    for trial_id in range(6):
        log.train(trial_id, (0.1, 0.1), 3)
    comparison = Comparison({"partly": [log.result(tmp_path)], "fully": [search(tmp_path, (0.5, 0.5), (0.6, 0.6))]})
    np.testing.assert_allclose(comparison.final()["partly"], [0.0])
    assert comparison.fronts()["partly"].shape == (0, 2)
    comparison.plot()


def test_errors_name_what_is_wrong(tmp_path: Path) -> None:
    result = search(tmp_path, (0.5, 0.5))
    with pytest.raises(InvalidArgumentError, match="it is empty"):
        Comparison({})
    with pytest.raises(InvalidArgumentError, match="'b' has none"):
        Comparison({"a": [result], "b": []})
    with pytest.raises(InvalidArgumentError, match="a search of 'b' that has not spent any epochs"):
        Comparison({"a": [result], "b": [result, search(tmp_path)]})
    other = search(tmp_path, (0.5,), objectives=(ERROR,))
    with pytest.raises(InvalidArgumentError, match="of 'b' differ from those of 'a'"):
        Comparison({"a": [result], "b": [other]})
    with pytest.raises(InvalidArgumentError, match="at most the 9"):
        Comparison({"a": [result]}, epochs=10)
    with pytest.raises(UnknownNameError):
        Comparison({"a": [result]}, reference={"sise": 1.0})
