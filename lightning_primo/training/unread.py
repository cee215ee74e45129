"""Hyperparameters that the user's functions of a configuration never look at: trials differ in them for nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.factory import WatchedConfig
from lightning_primo.objectives import CostCallback
from lightning_primo.problem.trial import Config
from lightning_primo.training.job import Job


class Reading:
    """What is read of some configurations, while modules are built and by whatever else makes a trial of them.

    Args:
        job: Of the search.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._read: set[str] = set()
        self._configs: list[Config] = []

    def build(self, build: Callable[[Config], object], config: Config) -> None:
        """Call `build` with `config`, and note what it reads.

        Where it fails, perhaps because it takes nothing else than a plain dict, it is called with one and taken to
        have read all.

        Raises:
            BaseException: What `build` raises of a plain dict.
        """
        self._configs.append(config)
        watched = self._watched(config)
        try:
            build(watched)
        except InvalidArgumentError:
            raise
        except Exception:
            self._read.update(config)
            build(config)

    def unread(self) -> tuple[str, ...]:
        """The hyperparameters that no function has read in any of the configurations in which they were active.

        What makes data, the Trainer's arguments and example inputs is asked now, if there is something left for it.
        """
        asked: set[str] = set()  # once for each that is left, as data may be loaded for it
        for config in self._configs:
            if set(config) <= self._read | asked:
                continue
            asked.update(config)
            for function in self._functions():
                try:
                    function(self._watched(config))
                except Exception:  # noqa: PERF203 - as it may do with anything else than a dict; its trial will tell
                    self._read.update(config)
        active = dict.fromkeys(name for config in self._configs for name in config)
        return tuple(name for name in active if name not in self._read)

    def explained(self) -> str | None:
        """What there is to say of `unread`."""
        names = self.unread()
        if not names:
            return None
        return (
            f"nothing reads {', '.join(map(repr, names))} of the space: what makes module, data and Trainer did not "
            f"ask for it in any of {len(self._configs)} configurations, so that trials differ in it without effect. "
            f"Use config[{names[0]!r}] there, or remove it from the space"
        )

    def _watched(self, config: Config) -> WatchedConfig:
        return WatchedConfig(config, self._read).again()

    def _functions(self) -> Iterator[Callable[[Config], Any]]:
        job = self._job
        yield job.factory.data
        costs = (callback for callback in (*job.objectives, *job.constraints) if isinstance(callback, CostCallback))
        inputs = (job.factory.example_inputs, *(callback.example_inputs for callback in costs))
        yield from (function for function in (job.options.trainer, *inputs) if callable(function))
