import math

import numpy as np

from lightning_primo.surrogates.outliers import without_outliers


def test_only_what_is_out_of_all_proportion_is_drawn_in():
    losses = np.array([[0.2, 1.0], [0.3, 2.0], [0.5, 3.0], [1.3, 4.0], [1e4, 5.0]])
    before = losses.copy()
    capped = without_outliers(losses)
    np.testing.assert_allclose(capped[:, 0], [0.2, 0.3, 0.5, 1.3, 0.5 + 5 * 0.3])
    np.testing.assert_array_equal(capped[:, 1], losses[:, 1])
    np.testing.assert_array_equal(losses, before)


def test_what_has_no_typical_spread_stays():
    np.testing.assert_array_equal(without_outliers(np.array([[0.0], [0.1], [1e9]])), [[0.0], [0.1], [1e9]])
    half = np.array([[1.0], [1.0], [1.0], [3.0], [50.0]])
    np.testing.assert_array_equal(without_outliers(half), half)
    assert without_outliers(np.empty((0, 2))).shape == (0, 2)


def test_nan_stays():
    capped = without_outliers(np.array([[math.nan], [0.0], [1.0], [2.0], [3.0], [1e6]]))
    assert np.isnan(capped[0, 0])
    assert capped[5, 0] == 2.0 + 5 * 2.0
