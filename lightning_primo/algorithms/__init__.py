"""The search algorithms. Each knows a `Problem` and nothing of Lightning; pass an instance to `Search`."""

from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.bayesian_optimization import BayesianOptimization
from lightning_primo.algorithms.bulk_and_cut import BulkAndCut
from lightning_primo.algorithms.cma_es import CMAES
from lightning_primo.algorithms.grid_search import GridSearch
from lightning_primo.algorithms.halving import Hyperband, SuccessiveHalving, rung_epochs
from lightning_primo.algorithms.mo_bananas import MOBANANAS
from lightning_primo.algorithms.mo_bohb import MOBOHB
from lightning_primo.algorithms.moasha import MOASHA
from lightning_primo.algorithms.ms_ehvi import MSEHVI
from lightning_primo.algorithms.nsga2 import NSGA2
from lightning_primo.algorithms.parts.evolutionary_sampler import EvolutionarySampler
from lightning_primo.algorithms.parts.exploration import Exploration, Perturb, Resample
from lightning_primo.algorithms.parts.fidelities import FullTrainings, RungStack
from lightning_primo.algorithms.parts.freeze_thaw import FreezeThaw
from lightning_primo.algorithms.parts.prices import BudgetPrice, EpochPrice, Price, SecondsPrice
from lightning_primo.algorithms.parts.prior_trust import EarnedTrust, FullTrust, PriorTrust
from lightning_primo.algorithms.parts.sampling import CentersFirst, PriorSampler, Sampler, SobolSampler, UniformSampler
from lightning_primo.algorithms.pb2 import PB2
from lightning_primo.algorithms.pbt import PBT
from lightning_primo.algorithms.primo import PriMO
from lightning_primo.algorithms.random_search import RandomSearch
from lightning_primo.algorithms.regularized_evolution import RegularizedEvolution
from lightning_primo.algorithms.sh_emoa import SHEMOA

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
    "Algorithm",
    "BayesianOptimization",
    "BudgetPrice",
    "BulkAndCut",
    "CentersFirst",
    "EarnedTrust",
    "EpochPrice",
    "EvolutionarySampler",
    "Exploration",
    "FreezeThaw",
    "FullTrainings",
    "FullTrust",
    "GridSearch",
    "Hyperband",
    "Perturb",
    "PriMO",
    "Price",
    "PriorSampler",
    "PriorTrust",
    "RandomSearch",
    "RegularizedEvolution",
    "Resample",
    "RungStack",
    "Sampler",
    "SecondsPrice",
    "SobolSampler",
    "SuccessiveHalving",
    "UniformSampler",
    "rung_epochs",
]
