"""A session as a program: tensors go in and out as they do of the module that was exported."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_primo.errors import NotDeployableError
from lightning_primo.measure.inputs import call, tensors
from lightning_primo.measure.isolation import explained, isolated
from lightning_primo.runtimes.artefact import Artefact
from lightning_primo.runtimes.runtime import Array, Program, Session


class DeployedProgram(Program):
    """A session that is called like the module that it was exported from.

    Args:
        session: What computes.
        module: What was exported; it is called once, to see how its outputs are arranged.
        inputs: What it was exported with.

    Raises:
        NotDeployableError: If the artefact has other inputs or outputs than the module.
    """

    def __init__(self, session: Session, module: nn.Module, inputs: Any) -> None:
        self.artefact: Artefact = session.artefact
        self._session = session
        with isolated(module), torch.inference_mode(), explained(module, inputs):
            outputs = call(module, inputs)
        self._outputs = outputs
        self._order = order_of([spec.name for spec in session.artefact.inputs], inputs, type(module).__name__)
        count = len(list(tensors(outputs)))
        if count != len(session.artefact.outputs):
            raise NotDeployableError(
                f"{type(module).__name__} gives {count} tensors, its artefact {len(session.artefact.outputs)}; let "
                "forward return tensors in tuples, lists and dicts alone, each of them once"
            )

    @override
    def __call__(self, inputs: Any) -> Any:
        device = next((tensor.device for tensor in tensors(inputs)), torch.device("cpu"))
        arrays = self._session(self.arrays(inputs))
        left = (torch.from_numpy(array).to(device) for array in arrays)
        return _arranged(self._outputs, left)

    @override
    def bound(self, inputs: Any) -> Callable[[], None]:
        return self._session.bound(self.arrays(inputs))

    def arrays(self, inputs: Any) -> list[Array]:
        """The tensors among `inputs` that the artefact takes, in its order."""
        arrays = [tensor.detach().cpu().numpy() for tensor in tensors(inputs)]
        ordered = [arrays[index] for index in self._order]
        for array, spec in zip(ordered, self.artefact.inputs, strict=True):
            if any(size not in (None, given) for size, given in zip(spec.shape, array.shape, strict=True)):
                raise NotDeployableError(
                    f"the artefact was exported for inputs of shape {spec.shape} alone, and is given {array.shape}"
                )
        return ordered


def order_of(names: list[str], inputs: Any, module: str) -> list[int]:
    """For each input of an artefact, by `names`, the index of the tensor among `inputs` that it is.

    Raises:
        NotDeployableError: If it is not known.
    """
    count = len(list(tensors(inputs)))
    if isinstance(inputs, Mapping) and all(isinstance(value, Tensor) for value in inputs.values()):
        keys = list(map(str, inputs))
        if set(names) <= set(keys):
            return [keys.index(name) for name in names]
    if len(names) == count:
        return list(range(count))
    numbered = [name.removeprefix("input_") for name in names]
    if all(number.isdecimal() and int(number) < count for number in numbered):  # by `trace_onnx`
        return list(map(int, numbered))
    raise NotDeployableError(
        f"{module} is called with {count} tensors, its artefact with {len(names)} ({', '.join(names) or 'none'}): some "
        "are not used; leave them out of 'example_input_array'"
    )


def _arranged(structure: Any, left: Iterator[Tensor]) -> Any:
    """A copy of `structure` with other tensors, in order; objects that are mappings stay of their class."""
    if isinstance(structure, Tensor):
        return next(left)
    if isinstance(structure, Mapping):
        arranged: Any = copy.copy(structure)
        for key, value in structure.items():
            arranged[key] = _arranged(value, left)
        return arranged
    if isinstance(structure, (tuple, list)):
        values = [_arranged(value, left) for value in structure]
        return type(structure)(*values) if hasattr(structure, "_fields") else type(structure)(values)
    return structure
