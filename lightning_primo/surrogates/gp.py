"""A Gaussian process on the features of configurations; hyperparameters by BoTorch, conditioning in closed form.

BoTorch's `SingleTaskGP` supplies kernel, priors (dimension-scaled, Hvarfner et al. 2024, arXiv 2402.02229) and the
maximum a posteriori fit. What is asked of the posterior afterwards is plain linear algebra on the fitted kernel, in
double precision, without gradients: predictions at thousands of candidates, and draws at the observed points.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from botorch.exceptions import BotorchWarning, ModelFittingError
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.kernels import Kernel
from gpytorch.mlls import ExactMarginalLogLikelihood
from linear_operator.utils.cholesky import psd_safe_cholesky
from scipy.stats import norm, qmc
from torch import Tensor

Array = npt.NDArray[np.float64]

_MAX_ITERATIONS = 75  # of L-BFGS; the posterior hardly moves after some 50
_SMALLEST_SPREAD = 1e-9


@dataclass(frozen=True)
class GaussianProcess:
    """A fitted Gaussian process, conditioned on `n` observations.

    Build one with `GaussianProcess.fit`. Inputs are features in [0, 1], outputs are standardised inside.

    Attributes:
        kernel: The fitted covariance function, of standardised outputs.
        mean: The fitted constant mean, of standardised outputs.
        noise: Variance of the observations around the function, of standardised outputs.
        shift: Mean of the outputs it was fitted to.
        scale: Standard deviation of the outputs it was fitted to.
        x: Features of the observations, `n x d`.
        root: Lower Cholesky factor of the observations' covariance, `n x n`.
        weights: Inverse covariance times the centred observations, `n`.
    """

    kernel: Kernel
    mean: float
    noise: float
    shift: float
    scale: float
    x: Tensor
    root: Tensor
    weights: Tensor

    @classmethod
    def fit(cls, x: Array, y: Array) -> GaussianProcess:
        """Fit kernel and noise to observations by maximum a posteriori.

        Args:
            x: Features, `n x d`, `n >= 1`.
            y: Finite observations, `n`.
        """
        shift, spread = float(np.mean(y)), float(np.std(y))
        scale = spread if spread > _SMALLEST_SPREAD else 1.0
        features = torch.from_numpy(np.ascontiguousarray(x))
        outputs = torch.from_numpy((y - shift) / scale)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BotorchWarning)
            warnings.simplefilter("ignore", RuntimeWarning)
            warnings.simplefilter("ignore", FutureWarning)
            model = SingleTaskGP(features, outputs[:, None], outcome_transform=None)
            if len(y) > 1:
                likelihood = ExactMarginalLogLikelihood(model.likelihood, model)
                try:
                    fit_gpytorch_mll(likelihood, optimizer_kwargs={"options": {"maxiter": _MAX_ITERATIONS}})
                except ModelFittingError:
                    # Only where every restart of the optimiser failed: the kernel's prior modes still give a posterior.
                    model = SingleTaskGP(features, outputs[:, None], outcome_transform=None)
            model.eval()
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        unconditioned = cls(
            kernel=model.covar_module,
            mean=float(model.mean_module.constant),
            noise=float(model.likelihood.noise),
            shift=shift,
            scale=scale,
            x=features,
            root=features.new_empty(0, 0),
            weights=features.new_empty(0),
        )
        return unconditioned.condition(x, y)

    def condition(self, x: Array, y: Array) -> GaussianProcess:
        """The same kernel and noise, conditioned on these observations instead (`n x d` and `n`)."""
        features = torch.from_numpy(np.ascontiguousarray(x))
        centred = torch.from_numpy((np.asarray(y) - self.shift) / self.scale) - self.mean
        covariance = self._covariance(features, features)
        covariance.diagonal().add_(self.noise)
        root = psd_safe_cholesky(covariance)
        return replace(self, x=features, root=root, weights=torch.cholesky_solve(centred[:, None], root)[:, 0])

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Posterior mean and standard deviation of the function (without the observations' noise), `q` each.

        Args:
            x: Features, `q x d`.
        """
        features = torch.from_numpy(np.ascontiguousarray(x))
        cross = self._covariance(features, self.x)  # q x n
        mean = self.mean + cross @ self.weights
        explained = torch.linalg.solve_triangular(self.root, cross.T, upper=False).square().sum(0)
        variance = (self._variance(features) - explained).clamp_min(0.0)
        return self._outputs(mean), variance.sqrt().numpy() * self.scale

    def draw(self, x: Array, n_draws: int, rng: np.random.Generator) -> Draws:
        """Joint draws of the function at `q` points, and the posterior given each draw.

        Args:
            x: Features, `q x d`, `q >= 1`.
            n_draws: Number of draws; quasi-random, so best a power of two.
            rng: Scrambles the quasi-random numbers.
        """
        features = torch.from_numpy(np.ascontiguousarray(x))
        cross = self._covariance(features, self.x)
        mean = self.mean + cross @ self.weights
        half = torch.linalg.solve_triangular(self.root, cross.T, upper=False)
        covariance = self._covariance(features, features)
        posterior = psd_safe_cholesky(covariance - half.T @ half)
        sobol = qmc.Sobol(len(features), scramble=True, rng=rng).random(n_draws)
        normal = torch.from_numpy(norm.ppf(np.clip(sobol, 1e-9, 1 - 1e-9)))
        values = mean + normal @ posterior.T  # n_draws x q
        prior_root = psd_safe_cholesky(covariance)
        weights = torch.cholesky_solve((values - self.mean).T, prior_root)  # q x n_draws
        return Draws(process=self, x=features, values=self._outputs(values), root=prior_root, weights=weights)

    def _covariance(self, a: Tensor, b: Tensor) -> Tensor:
        return self.kernel(a, b).to_dense().detach()

    def _variance(self, a: Tensor) -> Tensor:
        return self.kernel(a, diag=True).detach()

    def _outputs(self, standardised: Tensor) -> Array:
        outputs: Array = standardised.numpy() * self.scale + self.shift
        return outputs


@dataclass(frozen=True)
class Draws:
    """Functions drawn from a posterior, known at `q` points.

    Attributes:
        process: The Gaussian process they were drawn from.
        x: The points, `q x d`.
        values: The functions' values there, `s x q`.
        root: Lower Cholesky factor of the prior covariance of the points, `q x q`.
        weights: Inverse covariance times the centred values, `q x s`.
    """

    process: GaussianProcess
    x: Tensor
    values: Array
    root: Tensor
    weights: Tensor

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Each function's mean at other points, `r x s`, and their common standard deviation, `r`.

        Given the function at the `q` points, the noisy observations there say nothing more about it elsewhere.

        Args:
            x: Features, `r x d`.
        """
        features = torch.from_numpy(np.ascontiguousarray(x))
        cross = self.process._covariance(features, self.x)  # r x q
        mean = self.process.mean + cross @ self.weights
        explained = torch.linalg.solve_triangular(self.root, cross.T, upper=False).square().sum(0)
        variance = (self.process._variance(features) - explained).clamp_min(0.0)
        return self.process._outputs(mean), variance.sqrt().numpy() * self.process.scale
