import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace

from lightning_primo.acquisitions import rank_candidates
from lightning_primo.acquisitions.candidates import Pool
from lightning_primo.space import Encoding

ENCODING = Encoding(ConfigurationSpace({"a": (0.0, 1.0), "b": (0.0, 1.0), "c": ["x", "y", "z"]}))


def peak(vectors: np.ndarray) -> np.ndarray:
    return -((vectors[:, 0] - 0.3) ** 2) - (vectors[:, 1] - 0.7) ** 2 - (vectors[:, 2] != 1)


@pytest.mark.parametrize("n_starts", [0, 5])
def test_candidates_are_different_and_ranked_and_the_first_is_near_the_maximum(n_starts: int) -> None:
    starts = ENCODING.sample(n_starts, np.random.default_rng(1))
    starts.setflags(write=False)
    ranked, again = (rank_candidates(peak, ENCODING, starts, np.random.default_rng(0)) for _ in range(2))
    np.testing.assert_array_equal(ranked, again)
    assert len(np.unique(ranked, axis=0)) == len(ranked) == 256
    assert (np.diff(peak(ranked)) <= 0).all()
    assert peak(ranked[:1])[0] > -1e-4


def test_a_pool_ranks_what_it_was_given_and_leaves_nan_for_last() -> None:
    pool = Pool(lambda vectors: vectors[:, 0])
    np.testing.assert_array_equal(pool.add(np.array([[1.0], [np.nan], [3.0]])), [1.0, np.nan, 3.0])
    pool.add(np.array([[2.0], [3.0]]))
    vectors, values = pool.best(3)
    np.testing.assert_array_equal(vectors[:, 0], [3.0, 3.0, 2.0])
    np.testing.assert_array_equal(values, [3.0, 3.0, 2.0])
    np.testing.assert_array_equal(pool.ranked()[:, 0], [3.0, 2.0, 1.0, np.nan])
    np.testing.assert_array_equal(pool.ranked(2)[:, 0], [3.0, 2.0])
