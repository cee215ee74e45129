"""Measuring again what is noisy, for networks that were measured before."""

from __future__ import annotations

from lightning_primo.errors import DeviceMismatchError
from lightning_primo.training.cost_measurement import cost_callbacks, measured
from lightning_primo.training.failures import interruption
from lightning_primo.training.job import Job
from lightning_primo.training.process_state import memory_freed, one_at_a_time, process_kept, quiet_lightning


def measure_again(job: Job) -> dict[str, float] | str:
    """Measure the noisy objectives of the module of `job` once more; nothing is trained or written.

    Calls and jobs of several threads wait for each other.

    Returns:
        The values in the objectives' units by name, or in one line why they can't be measured.

    Raises:
        DeviceMismatchError: If the earlier measurements were made on another device.
        KeyboardInterrupt: On Ctrl-C.
    """
    objectives = {callback.objective.name for callback in job.objectives}
    noisy = [callback for callback in cost_callbacks(job) if callback.noisy and callback.objective.name in objectives]
    stop: BaseException | None = None
    with one_at_a_time, memory_freed(), process_kept(), quiet_lightning():
        try:
            return {callback.objective.name: callback.value for callback in measured(job, noisy)}
        except DeviceMismatchError as error:
            stop = error
        except BaseException as error:
            stop = interruption(error)
            if stop is None:
                return f"{type(error).__name__}: {error}".split("\n", 1)[0]
    raise stop.with_traceback(None)
