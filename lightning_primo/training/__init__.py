"""Training one trial: from options and a plan to a job, its run, and what is told of it."""

from lightning_primo.training.evaluation import crashed, failed, hung
from lightning_primo.training.failures import Failure, classify
from lightning_primo.training.job import Job
from lightning_primo.training.options import TrainerArguments, TrainingOptions
from lightning_primo.training.parallelism import check_indices, devices_per_trial
from lightning_primo.training.plan import TrainingPlan
from lightning_primo.training.preflight import preflight
from lightning_primo.training.run import run_job
from lightning_primo.training.trainer import check_trainer_arguments, trainer_arguments

__all__ = [
    "Failure",
    "Job",
    "TrainerArguments",
    "TrainingOptions",
    "TrainingPlan",
    "check_indices",
    "check_trainer_arguments",
    "classify",
    "crashed",
    "devices_per_trial",
    "failed",
    "hung",
    "preflight",
    "run_job",
    "trainer_arguments",
]
