from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from lightning_primo.serving.request import (
    LENGTH_BYTES,
    MEMORY,
    ArtefactFile,
    InputArray,
    MalformedRequestError,
    MeasurementRequest,
)

SPEC = {"name": "x", "shape": [None, 8], "dtype": "float32"}
REQUEST = MeasurementRequest(
    client="host:1",
    files=(ArtefactFile(name="a.onnx", size=10), ArtefactFile(name="a.onnx.data", size=5)),
    artefact={
        "format": "onnx",
        "files": ["a.onnx", "a.onnx.data"],
        "digest": "0" * 64,
        "inputs": [SPEC, SPEC],
        "outputs": [SPEC],
    },
    inputs=(InputArray(dtype="float32", shape=(2, 8)), InputArray(dtype="bool", shape=())),
    runtime={"class": "OnnxRuntime", "arguments": {}},
    threads=2,
)


def changed(**entries: Any) -> bytes:
    return json.dumps({**json.loads(REQUEST.header()[LENGTH_BYTES:]), **entries}).encode()


def test_what_is_written_is_read() -> None:
    header = REQUEST.header()
    assert int.from_bytes(header[:LENGTH_BYTES], "big") == len(header) - LENGTH_BYTES
    assert MeasurementRequest.read(header[LENGTH_BYTES:]) == REQUEST
    assert REQUEST.size == 2 * 8 * 4 + 1 + 10 + 5
    assert MeasurementRequest.read(replace(REQUEST, quantity=MEMORY).header()[LENGTH_BYTES:]).quantity == MEMORY
    assert MeasurementRequest.read(replace(REQUEST, threads=None).header()[LENGTH_BYTES:]).threads is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 10_000, "no JSON"),
        (b"[]", "the header"),
        (b"{}", "the header"),
        (changed(extra=1), "the header"),
        (changed(protocol=1), "'protocol'"),
        (changed(quantity="energy"), "'quantity'"),
        (changed(quantity=[]), "'quantity'"),
        (changed(client=""), "'client'"),
        (changed(client="a\x1b[2J"), "'client'"),
        (changed(files=[]), "'files'"),
        (changed(files=[{"name": "../a.onnx", "size": 1}]), "'name'"),
        (changed(files=[{"name": ".bashrc", "size": 1}]), "'name'"),
        (changed(files=[{"name": "/etc/passwd", "size": 1}]), "'name'"),
        (changed(files=[{"name": "a\0.onnx", "size": 1}]), "'name'"),
        (changed(files=[{"name": "a.onnx", "size": 0}]), "'size'"),
        (changed(files=[{"name": "a.onnx", "size": True}]), "'size'"),
        (changed(files=[{"name": "b.onnx", "size": 1}]), "'files' of the artefact"),
        (changed(files=[{"name": "a.onnx", "size": 1, "mode": 0o755}]), "'files'"),
        (changed(inputs=[{"dtype": "object", "shape": []}] * 2), "'dtype'"),
        (changed(inputs=[{"dtype": "float32", "shape": [0]}] * 2), "'shape'"),
        (changed(inputs=[{"dtype": "float32", "shape": [2**40, 2**40]}] * 2), "too large"),
        (changed(inputs=[{"dtype": "float32", "shape": [1]}]), "2 inputs, but 1"),
        (changed(runtime={"class": "OnnxRuntime"}), "'runtime'"),
        (changed(runtime={"class": 7, "arguments": {}}), "'class'"),
        (changed(threads=0), "'threads'"),
        (changed(precision=0.0), "'precision'"),
        (changed(precision="0.1"), "'precision'"),
        (changed(max_seconds=1e9), "'max_seconds'"),
        (changed().replace(b"0.02", b"NaN"), "no JSON"),
        (changed(artefact={**REQUEST.artefact, "format": "pickle"}), "'format'"),
        (changed(artefact={**REQUEST.artefact, "digest": "x" * 64}), "'digest'"),
        (changed(artefact={**REQUEST.artefact, "outputs": [{"name": "y"}]}), "outputs"),
    ],
)
def test_what_is_wrong_is_named(text: bytes, named: str) -> None:
    with pytest.raises(MalformedRequestError, match=named):
        MeasurementRequest.read(text)
