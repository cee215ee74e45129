"""How a learning rate follows its hypergradient."""

from __future__ import annotations

from abc import ABC, abstractmethod

from typing_extensions import override


class LearningRateRule(ABC):
    """The next learning rate, from how the gradient agrees with the direction of the last step.

    A subclass has no state, so that one instance serves all groups of parameters.
    """

    @abstractmethod
    def __call__(self, lr: float, step: float, *, product: float, norms: float) -> float:
        """The next learning rate, which the caller keeps within its bounds.

        Args:
            lr: The present one, positive.
            step: The learning rate of the learning rate, positive.
            product: `g . d`, of the gradient of the loss and the direction of the last step, along which a learning
                rate of 1 would have gone: minus the derivative of the loss by the learning rate of that step.
            norms: `|g| |d|`, not negative.
        """


class Additive(LearningRateRule):
    """`lr + step (g . d)`: gradient descent on the learning rate (Baydin et al. 2018, equations 5 and 7).

    The step has the unit of a learning rate over a squared gradient: what is right for one module is wrong for another.
    """

    @override
    def __call__(self, lr: float, step: float, *, product: float, norms: float) -> float:
        return lr + step * product


class Multiplicative(LearningRateRule):
    """`lr (1 + step cos(g, d))` (Baydin et al. 2018, equation 8): a step changes it by the fraction `step` at most."""

    @override
    def __call__(self, lr: float, step: float, *, product: float, norms: float) -> float:
        return lr * (1 + step * product / norms) if norms > 0 else lr
