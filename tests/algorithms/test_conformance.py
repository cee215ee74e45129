import pytest

from lightning_primo.acquisitions import LogExpectedImprovement, MaxValueEntropy, ThompsonSampling
from lightning_primo.algorithms import (
    MOASHA,
    PB2,
    PBT,
    Algorithm,
    BayesianOptimization,
    EarnedTrust,
    Hyperband,
    PriMO,
    PriorSampler,
    RandomSearch,
    Resample,
    SobolSampler,
    SuccessiveHalving,
)
from lightning_primo.pareto import AugmentedChebyshev
from lightning_primo.space import Prior
from lightning_primo.testing.conformance import AlgorithmConformance

PRIORS = {"error": Prior({"lr": 1e-2, "activation": "gelu"}, confidence=0.75)}


class TestRandomSearch(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return RandomSearch()


class TestSobolSearch(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return RandomSearch(sampler=SobolSampler())


class TestSuccessiveHalving(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return SuccessiveHalving()


class TestHyperband(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return Hyperband()


class TestMOASHA(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return MOASHA()


@pytest.mark.slow
@pytest.mark.usefixtures("coarse")
class TestPriMO(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return PriMO()


@pytest.mark.usefixtures("coarse")
class TestPriMOOfFewRungs(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return PriMO(eta=9)


@pytest.mark.usefixtures("coarse")
class TestPublishedPriMO(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return PriMO.as_published(priors=PRIORS)


@pytest.mark.slow
@pytest.mark.usefixtures("coarse")
class TestPriMOWithoutPauses(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return PriMO(pause=None, priors=PRIORS, trust=EarnedTrust())


class TestPBT(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return PBT(population=4)


@pytest.mark.slow
class TestPBTOfNamedHyperparameters(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return PBT(population=5, interval=4, explore=Resample(), hyperparameters=["lr"], share=0.4)


class TestPB2(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return PB2(population=4)


class TestPriorSampling(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return MOASHA(sampler=PriorSampler({"error": Prior({"lr": 1e-2}, confidence=0.25)}))


@pytest.mark.usefixtures("coarse")
class TestParEGO(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return BayesianOptimization(
            design=RandomSearch(sampler=SobolSampler()),
            acquisition=LogExpectedImprovement(scalarization=AugmentedChebyshev()),
        )


@pytest.mark.usefixtures("coarse")
class TestPiBO(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return BayesianOptimization(n_init=4, priors=PRIORS, acquisition=LogExpectedImprovement())


@pytest.mark.usefixtures("coarse")
class TestThompsonSampling(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return BayesianOptimization(n_init=4, acquisition=ThompsonSampling())


@pytest.mark.usefixtures("coarse")
class TestMaxValueEntropy(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return BayesianOptimization(n_init=4, acquisition=MaxValueEntropy())
