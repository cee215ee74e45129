import math

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace

from lightning_primo.acquisitions import prior_exponent, weighted_by_prior
from lightning_primo.space import EncodedPrior, Encoding, Prior


def test_the_prior_fades_and_is_then_off():
    assert prior_exponent(0, 13) == 1.0
    assert prior_exponent(3, 13) == pytest.approx(math.exp(-9 / 13))
    assert prior_exponent(10, 13) == pytest.approx(math.exp(-100 / 13))
    assert prior_exponent(11, 13) == 0.0  # exp(-121 / 13) = 9.1e-5 is below 1e-4


def test_the_density_is_raised_to_the_exponent():
    encoding = Encoding(ConfigurationSpace({"lr": (1e-5, 1e-1), "pool": ["max", "mean"]}))
    prior = EncodedPrior(Prior({"lr": 1e-3, "pool": "max"}), encoding)
    vectors, values = encoding.sample(6, np.random.default_rng(0)), np.arange(6.0)
    density = np.exp(prior.log_density(vectors))
    for exponent in (0.0, 0.3, 1.0):
        weighted = weighted_by_prior(values, prior, vectors, exponent=exponent)
        np.testing.assert_allclose(np.exp(weighted), np.exp(values) * density**exponent)
