"""Adding up what parts of a program take."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

PARTS = {
    "fit": (
        "surrogates.gp:GaussianProcess.fit",
        "surrogates.parzen:ParzenDensity.fit",
        "surrogates.ensemble:NetworkEnsemble.fit",
    ),
    "condition": ("surrogates.gp:GaussianProcess.condition", "surrogates.gp:GaussianProcess.draw"),
    "boxes": ("acquisitions.hypervolume_improvement:_boxes",),
    "acquisition": (
        "surrogates.gp:Draws.predict",
        "surrogates.gp:GaussianProcess.predict",
        "acquisitions.hypervolume_improvement:LogExpectedHypervolumeImprovement.__call__",
        "acquisitions.expected_improvement:log_expected_improvement",
        "surrogates.parzen:ParzenDensity.log_density",
        "surrogates.ensemble:NetworkEnsemble.predict",
    ),
    "candidates": ("acquisitions.candidates:mutate_local", "acquisitions.candidates:Encoding.sample"),
}
"""What an ask of a method with a model is made of. Time within one part counts for the outermost."""


class Stopwatch:
    """Adds up the seconds of calls by name; those of nested calls count for the outermost."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._running = False

    def time(self, owner: Any, attribute: str, name: str) -> None:
        """Time every call of `owner`'s function or method from now on."""
        original = vars(owner).get(attribute) or getattr(owner, attribute)
        is_class_method = isinstance(original, classmethod)
        function: Callable[..., Any] = original.__func__ if is_class_method else original
        self.seconds.setdefault(name, 0.0)

        def timed(*arguments: Any, **options: Any) -> Any:
            if self._running:
                return function(*arguments, **options)
            self._running, start = True, time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self._running = False
                self.seconds[name] += time.perf_counter() - start

        setattr(owner, attribute, classmethod(timed) if is_class_method else timed)

    def time_parts(self) -> None:
        """Time the parts of models."""
        for name, places in PARTS.items():
            for place in places:
                module, _, path = place.partition(":")
                *owners, attribute = path.split(".")
                owner: Any = importlib.import_module(f"lightning_primo.{module}")
                for part in owners:
                    owner = getattr(owner, part)
                self.time(owner, attribute, name)
