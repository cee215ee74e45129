"""ONNX files that measurement servers are tried with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lightning_primo.runtimes import Artefact, TensorSpec

X = [np.ones((1, 8), dtype=np.float32)]


def matmul(folder: Path, *, width: int = 8, seed: int = 0, name: str = "network.onnx") -> Artefact:
    """``x @ w`` with a weight of ``8 x width``."""
    weight = np.random.default_rng(seed).normal(size=(8, width)).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return _written(folder / name, [node], width, [numpy_helper.from_array(weight, "w")])


def endless(folder: Path) -> Artefact:
    """A loop of 2^62 rounds."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["sum", "x"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1, 8]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [1, 8]),
        ],
    )
    constants = [
        numpy_helper.from_array(np.array(2**62, dtype=np.int64), "rounds"),
        numpy_helper.from_array(np.array(True), "yes"),
    ]
    node = helper.make_node("Loop", ["rounds", "yes", "x"], ["y"], body=body)
    return _written(folder / "endless.onnx", [node], 8, constants)


def enormous(folder: Path) -> Artefact:
    """It fills a tensor of four tebibytes."""
    shape = numpy_helper.from_array(np.array([2**20, 2**20], dtype=np.int64), "shape")
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    return _written(folder / "enormous.onnx", nodes, 8, [shape])


def rewritten(artefact: Artefact, content: bytes) -> Artefact:
    """The same artefact with another content."""
    artefact.path.write_bytes(content)
    return Artefact.of_files(artefact.path, "onnx", inputs=artefact.inputs, outputs=artefact.outputs)


def _written(path: Path, nodes: Sequence[Any], width: int, weights: Sequence[Any]) -> Artefact:
    graph = helper.make_graph(
        list(nodes),
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, width])],
        list(weights),
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return Artefact.of_files(
        path,
        "onnx",
        inputs=[TensorSpec(name="x", shape=(1, 8), dtype="float32")],
        outputs=[TensorSpec(name="y", shape=(1, width), dtype="float32")],
    )
