"""ONNX files with operators of 8 bits, by ONNX Runtime's tools."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typing_extensions import override

from lightning_primo.errors import NotDeployableError, first_line
from lightning_primo.measure.inputs import tensors
from lightning_primo.runtimes.artefact import Artefact
from lightning_primo.runtimes.deployed_program import order_of
from lightning_primo.runtimes.onnx_export import onnx_artefact
from lightning_primo.runtimes.runtime import Array


def quantise(artefact: Artefact, batches: Sequence[Any]) -> Artefact:
    """Replace an ONNX file by one that is quantised statically, weights per channel.

    Args:
        artefact: Of an ONNX file, which is removed.
        batches: Inputs as for `measure.call`, for the ranges of activations.

    Raises:
        NotDeployableError: If the tools fail.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    names = [spec.name for spec in artefact.inputs]

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(batches)

        @override
        def get_next(self) -> dict[str, Array] | None:
            inputs = next(self._left, None)
            if inputs is None:
                return None
            arrays = [tensor.detach().cpu().numpy() for tensor in tensors(inputs)]
            return {
                name: arrays[index] for name, index in zip(names, order_of(names, inputs, "the module"), strict=True)
            }

    def run(prepared: Path, target: Path) -> None:
        quantize_static(prepared, target, Reader(), quant_format=QuantFormat.QDQ, per_channel=True)

    return _replaced(artefact, run)


def quantise_weights(artefact: Artefact) -> Artefact:
    """Replace an ONNX file by one that is quantised dynamically, weights per channel.

    Raises:
        NotDeployableError: If the tools fail.
    """
    from onnxruntime.quantization import quantize_dynamic

    def run(prepared: Path, target: Path) -> None:
        quantize_dynamic(prepared, target, per_channel=True)

    return _replaced(artefact, run)


def _replaced(artefact: Artefact, run: Any) -> Artefact:
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared, target = (artefact.path.with_name(f"{name}.onnx") for name in ("prepared", "quantised"))
    try:
        with _quiet():
            quant_pre_process(artefact.path, prepared, skip_symbolic_shape=True)  # fuses batch normalisation
            run(prepared, target)
    except Exception as error:  # of the tools, of a dozen kinds
        raise NotDeployableError(
            f"ONNX Runtime cannot quantise the file: {type(error).__name__}: {first_line(str(error))}"
        ) from error
    finally:
        for left in (*artefact.files, prepared):
            left.unlink(missing_ok=True)
    return onnx_artefact(target)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the tools' remarks."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
