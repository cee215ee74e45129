"""Joint neural architecture search and hyperparameter optimisation with several objectives, for PyTorch Lightning."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_primo.acquisitions import (
        HypervolumeImprovement,
        LogExpectedImprovement,
        MaxValueEntropy,
        ProbabilityOfImprovement,
        ThompsonSampling,
        UpperConfidenceBound,
    )
    from lightning_primo.algorithms import (
        CMAES,
        MOASHA,
        MOBANANAS,
        MOBOHB,
        MSEHVI,
        NSGA2,
        PB2,
        PBT,
        SHEMOA,
        Algorithm,
        BayesianOptimization,
        BudgetPrice,
        BulkAndCut,
        CentersFirst,
        EarnedTrust,
        EpochPrice,
        EvolutionarySampler,
        FreezeThaw,
        FullTrainings,
        FullTrust,
        GridSearch,
        Hyperband,
        Perturb,
        PriMO,
        PriorSampler,
        RandomSearch,
        RegularizedEvolution,
        Resample,
        RungStack,
        SecondsPrice,
        SobolSampler,
        SuccessiveHalving,
        UniformSampler,
    )
    from lightning_primo.factory import KFoldData
    from lightning_primo.hypergradients import HypergradientDescent, ImplicitHypergradients, UnrolledHypergradients
    from lightning_primo.namespaces import alias_pytorch_lightning
    from lightning_primo.objectives import (
        DeployedMetric,
        Energy,
        FileSize,
        FLOPs,
        Latency,
        Metric,
        ParameterCount,
        PeakMemory,
        TorchMetric,
        TrainingTime,
    )
    from lightning_primo.pareto import AugmentedChebyshev, WeightedSum
    from lightning_primo.results import Comparison, Result, from_optuna
    from lightning_primo.runtimes import (
        AOTInductor,
        Compiled,
        DynamicallyQuantised,
        Eager,
        FirstOf,
        HalfPrecision,
        OnnxRuntime,
        OpenVINO,
        Quantised,
    )
    from lightning_primo.search import NoImprovement, Search, Target, read_result
    from lightning_primo.serving import ServedDevice
    from lightning_primo.space import Prior
    from lightning_primo.study import Continuation, Objective, Problem, Study

__all__ = [
    "CMAES",
    "MOASHA",
    "MOBANANAS",
    "MOBOHB",
    "MSEHVI",
    "NSGA2",
    "PB2",
    "PBT",
    "SHEMOA",
    "AOTInductor",
    "Algorithm",
    "AugmentedChebyshev",
    "BayesianOptimization",
    "BudgetPrice",
    "BulkAndCut",
    "CentersFirst",
    "Comparison",
    "Compiled",
    "Continuation",
    "DeployedMetric",
    "DynamicallyQuantised",
    "Eager",
    "EarnedTrust",
    "Energy",
    "EpochPrice",
    "EvolutionarySampler",
    "FLOPs",
    "FileSize",
    "FirstOf",
    "FreezeThaw",
    "FullTrainings",
    "FullTrust",
    "GridSearch",
    "HalfPrecision",
    "Hyperband",
    "HypergradientDescent",
    "HypervolumeImprovement",
    "ImplicitHypergradients",
    "KFoldData",
    "Latency",
    "LogExpectedImprovement",
    "MaxValueEntropy",
    "Metric",
    "NoImprovement",
    "Objective",
    "OnnxRuntime",
    "OpenVINO",
    "ParameterCount",
    "PeakMemory",
    "Perturb",
    "PriMO",
    "Prior",
    "PriorSampler",
    "ProbabilityOfImprovement",
    "Problem",
    "Quantised",
    "RandomSearch",
    "RegularizedEvolution",
    "Resample",
    "Result",
    "RungStack",
    "Search",
    "SecondsPrice",
    "ServedDevice",
    "SobolSampler",
    "Study",
    "SuccessiveHalving",
    "Target",
    "ThompsonSampling",
    "TorchMetric",
    "TrainingTime",
    "UniformSampler",
    "UnrolledHypergradients",
    "UpperConfidenceBound",
    "WeightedSum",
    "alias_pytorch_lightning",
    "from_optuna",
    "read_result",
]

__version__ = "0.1.0"

_HOMES = (  # those that need neither torch nor Lightning first
    "acquisitions",
    "algorithms",
    "pareto",
    "space",
    "study",
    "runtimes",
    "hypergradients",
    "factory",
    "objectives",
    "namespaces",
    "serving",
    "results",
    "search",
)


def __getattr__(name: str) -> Any:
    # Torch and Lightning take seconds to import: whoever asks the command line for help does not wait for them.
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in __all__:
        homes = (importlib.import_module(f"{__name__}.{home}") for home in _HOMES)
        found = next(getattr(home, name) for home in homes if hasattr(home, name))
        globals()[name] = found
        return found
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
