"""What is sent to a measurement server, and what is read of it: JSON that says what follows, then raw bytes.

```
4 bytes                 length of the JSON, big-endian
JSON, UTF-8             the artefact's files with their sizes, the inputs, the runtime, how long to measure
the inputs              raw, in order, C-contiguous, little-endian
the artefact's files    in order
```

Nothing of it is unpickled, imported or run as code. Neither torch nor Lightning is needed here.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

PROTOCOL = 2
"""The version of what is said; server and client must have the same."""

MOST_HEADER_BYTES = 65_536
MOST_TENSORS = 64
MOST_FILES = 8

LENGTH_BYTES = 4

LATENCY, MEMORY = "latency", "memory"
"""What is measured: seconds of a call, or bytes of the process that loads and calls."""

FORMATS = ("onnx",)
"""What an artefact may be: formats that hold no code, and are read without unpickling."""

DTYPES: Mapping[str, int] = {
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "float16": 2,
    "int32": 4,
    "uint32": 4,
    "float32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
}
"""The types that inputs may have, and the bytes of a value."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", flags=re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", flags=re.ASCII)
_LARGEST_NUMBER = 2**53


class MalformedRequestError(Exception):
    """A request that does not say what it must; the message names the entry."""


@dataclass(frozen=True, kw_only=True)
class ArtefactFile:
    """A file of an artefact.

    Args:
        name: Its name, without a folder.
        size: In bytes.
    """

    name: str
    size: int


@dataclass(frozen=True, kw_only=True)
class InputArray:
    """An input, of which the bytes follow.

    Args:
        dtype: One of `DTYPES`.
        shape: Its shape, without zeros.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return math.prod(self.shape) * DTYPES[self.dtype]


@dataclass(frozen=True, kw_only=True)
class MeasurementRequest:
    """A measurement that is asked for.

    Args:
        client: Who asks: searches take turns by this name.
        files: The artefact's, the one to open first.
        artefact: Its description as `Artefact.description` gives it, which names the files too.
        inputs: What it is called with, in the artefact's order.
        runtime: As `Runtime.settings` gives it.
        device: ``"cpu"``, ``"cuda"``, …
        quantity: `LATENCY` or `MEMORY`.
        threads: CPU threads within an operator; None for as many as the server has cores.
        precision: Relative error of the median at which the measurement of a latency ends.
        max_seconds: At which it ends anyway.
    """

    client: str
    files: tuple[ArtefactFile, ...]
    artefact: Mapping[str, Any]
    inputs: tuple[InputArray, ...]
    runtime: Mapping[str, Any]
    quantity: str = LATENCY
    device: str = "cpu"
    threads: int | None = None
    precision: float = 0.02
    max_seconds: float = 1.0

    @property
    def digest(self) -> str:
        """Of the artefact."""
        return str(self.artefact["digest"])

    @property
    def size(self) -> int:
        """Bytes that follow the JSON."""
        return sum(array.size for array in self.inputs) + sum(file.size for file in self.files)

    def header(self) -> bytes:
        """The length of the JSON, and the JSON."""
        text = json.dumps(
            {
                "protocol": PROTOCOL,
                "client": self.client,
                "files": [{"name": file.name, "size": file.size} for file in self.files],
                "artefact": dict(self.artefact),
                "inputs": [{"dtype": array.dtype, "shape": list(array.shape)} for array in self.inputs],
                "runtime": dict(self.runtime),
                "quantity": self.quantity,
                "device": self.device,
                "threads": self.threads,
                "precision": self.precision,
                "max_seconds": self.max_seconds,
            },
            allow_nan=False,
        ).encode()
        return len(text).to_bytes(LENGTH_BYTES, "big") + text

    @classmethod
    def read(cls, text: bytes) -> MeasurementRequest:
        """The inverse of `header`, of the JSON alone.

        Raises:
            MalformedRequestError: For whatever is missing, unknown, of another type or out of range.
        """
        parsed = _parsed(text)
        if isinstance(parsed, dict) and parsed.get("protocol", PROTOCOL) != PROTOCOL:
            _refuse(f"'protocol' must be {PROTOCOL}, which this server speaks; install the same lightning-primo there")
        entries = _object("the header", parsed, _KEYS)
        files = tuple(
            ArtefactFile(name=_name("a file's 'name'", file["name"]), size=_whole("a file's 'size'", file["size"], 1))
            for file in _objects("files", entries["files"], ("name", "size"), most=MOST_FILES)
        )
        artefact = _artefact(entries["artefact"])
        if artefact["files"] != [file.name for file in files] or len(set(artefact["files"])) != len(files):
            _refuse("'files' of the artefact must be the names of the files, each once")
        inputs = tuple(
            InputArray(
                dtype=_choice("an input's 'dtype'", array["dtype"], DTYPES),
                shape=_shape("an input's 'shape'", array["shape"]),
            )
            for array in _objects("inputs", entries["inputs"], ("dtype", "shape"), most=MOST_TENSORS)
        )
        if len(inputs) != len(artefact["inputs"]):
            _refuse(f"the artefact has {len(artefact['inputs'])} inputs, but {len(inputs)} come")
        runtime = _object("'runtime'", entries["runtime"], ("class", "arguments"))
        _text("'class' of 'runtime'", runtime["class"], most=50)
        if not isinstance(runtime["arguments"], dict):
            _refuse("'arguments' of 'runtime' must be an object")
        threads = entries["threads"]
        return cls(
            client=_text("'client'", entries["client"], most=200),
            files=files,
            artefact=artefact,
            inputs=inputs,
            runtime=runtime,
            quantity=_choice("'quantity'", entries["quantity"], (LATENCY, MEMORY)),
            device=_text("'device'", entries["device"], most=50),
            threads=None if threads is None else _whole("'threads'", threads, 1, 1024),
            precision=_number("'precision'", entries["precision"], 1e-4, 0.999),
            max_seconds=_number("'max_seconds'", entries["max_seconds"], 1e-3, 3600.0),
        )


_KEYS = (
    "protocol",
    "client",
    "files",
    "artefact",
    "inputs",
    "runtime",
    "quantity",
    "device",
    "threads",
    "precision",
    "max_seconds",
)


def _artefact(value: Any) -> dict[str, Any]:
    artefact = _object("'artefact'", value, ("format", "files", "digest", "inputs", "outputs"))
    _choice("'format'", artefact["format"], FORMATS)
    if not isinstance(artefact["digest"], str) or not _DIGEST.fullmatch(artefact["digest"]):
        _refuse("'digest' must be 64 hexadecimal digits")
    for which in ("inputs", "outputs"):
        for spec in _objects(
            f"{which} of the artefact", artefact[which], ("name", "shape", "dtype"), most=MOST_TENSORS
        ):
            _text("a tensor's 'name'", spec["name"], most=200)
            _text("a tensor's 'dtype'", spec["dtype"], most=50)
            _shape("a tensor's 'shape'", spec["shape"], any_size=True)
    return artefact


def require_little_endian() -> None:
    """Raise a MalformedRequestError where raw arrays would be read in another order of bytes."""
    if sys.byteorder != "little":
        _refuse("arrays travel in little-endian order, which this machine does not have")


def _refuse(message: str) -> NoReturn:
    raise MalformedRequestError(message)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text.decode(), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise MalformedRequestError(f"the header is no JSON: {str(error)[:100]}") from None


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _object(what: str, value: Any, keys: Sequence[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(keys):
        _refuse(f"{what} must be an object with the keys {', '.join(keys)}")
    return value


def _objects(what: str, value: Any, keys: Sequence[str], *, most: int) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        _refuse(f"{what!r} must be a list of 1 to {most}")
    return [_object(f"an entry of {what!r}", entry, keys) for entry in value]


def _text(what: str, value: Any, *, most: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= most or not value.isprintable():
        _refuse(f"{what} must be a printable text of 1 to {most} characters")
    return value


def _name(what: str, value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        _refuse(f"{what} must be of letters, digits, '_', '-' and '.', without a folder")
    return value


def _choice(what: str, value: Any, choices: Collection[str]) -> str:
    if not isinstance(value, str) or value not in choices:
        _refuse(f"{what} must be one of {', '.join(choices)}")
    return value


def _whole(what: str, value: Any, least: int, most: int = _LARGEST_NUMBER) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        _refuse(f"{what} must be a whole number from {least} to {most}")
    return value


def _number(what: str, value: Any, least: float, most: float) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value <= most:
        _refuse(f"{what} must be a number from {least:g} to {most:g}")
    return float(value)


def _shape(what: str, value: Any, *, any_size: bool = False) -> tuple[int, ...]:
    """A shape; with `any_size` a size may be None, and counts as 1."""
    if not isinstance(value, list) or len(value) > 16:
        _refuse(f"{what} must be a list of at most 16 sizes")
    least = 0 if any_size else 1
    shape = tuple(1 if any_size and size is None else _whole(f"a size in {what}", size, least) for size in value)
    if math.prod(shape) > _LARGEST_NUMBER:
        _refuse(f"{what} is too large")
    return shape
