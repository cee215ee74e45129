"""Training one trial: a job from one epoch to another, its failures classified, and what is known before it."""

from lightning_primo.training.failures import Failure, classify, metric_is_missing, signature_of, unwritable
from lightning_primo.training.job import Job
from lightning_primo.training.parallelism import check_indices, devices_per_trial
from lightning_primo.training.preflight import preflight
from lightning_primo.training.run import crashed, hung, run_job
from lightning_primo.training.trainer import TrainerArguments, check_trainer_arguments, trainer_arguments

__all__ = [
    "Failure",
    "Job",
    "TrainerArguments",
    "check_indices",
    "check_trainer_arguments",
    "classify",
    "crashed",
    "devices_per_trial",
    "hung",
    "metric_is_missing",
    "preflight",
    "run_job",
    "signature_of",
    "trainer_arguments",
    "unwritable",
]
