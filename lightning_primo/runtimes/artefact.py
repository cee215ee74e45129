"""What a module becomes where it is exported: a file that another process, or another machine, computes with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from lightning_primo.errors import InvalidArgumentError

Format = Literal["onnx", "exported-program", "aoti-package"]
"""How an artefact is written: an ONNX file, ``torch.export``'s archive, or machine code for one device."""

_CHUNK = 2**20


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """A tensor that goes into an artefact or comes out of it.

    Args:
        name: As the artefact calls it.
        shape: Its sizes; None for one that may be any.
        dtype: As NumPy calls it, such as ``"float32"``.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """An exported module on disk.

    Args:
        path: The file that is loaded.
        format: How it is written.
        files: All files that belong to it, `path` among them; large weights lie in one of their own, in its folder.
        size: Bytes of all files.
        digest: SHA-256 of the names and contents of all files, in hexadecimal.
        inputs: What it is called with, in order.
        outputs: What it gives, in order.
    """

    path: Path
    format: Format
    files: tuple[Path, ...]
    size: int
    digest: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @classmethod
    def of_files(
        cls, path: Path, form: Format, *, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
    ) -> Artefact:
        """The artefact of a file that was just written, and of those beside it that begin with its name."""
        files = (path, *sorted(other for other in path.parent.glob(f"{path.name}?*") if other.is_file()))
        return cls(
            path=path,
            format=form,
            files=files,
            size=sum(file.stat().st_size for file in files),
            digest=content_digest(files),
            inputs=tuple(inputs),
            outputs=tuple(outputs),
        )

    def description(self) -> dict[str, Any]:
        """What another process must know besides the files, as JSON values; `described` makes it an artefact again."""
        specs = {"inputs": list(map(asdict, self.inputs)), "outputs": list(map(asdict, self.outputs))}
        return {"format": self.format, "files": [file.name for file in self.files], "digest": self.digest, **specs}

    @classmethod
    def described(cls, description: Mapping[str, Any], folder: Path) -> Artefact:
        """The artefact whose files lie in `folder`, under the names that `description` has.

        Raises:
            InvalidArgumentError: If a name is a path, or the files are not those that were described.
        """
        names = [str(name) for name in description["files"]]
        if not names or any(name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name for name in names):
            raise InvalidArgumentError(f"'files' of an artefact must be names without a folder, got {names!r:.200}")
        files = tuple(folder / name for name in names)
        missing = [file.name for file in files if not file.is_file()]
        if missing or content_digest(files) != description["digest"]:
            raise InvalidArgumentError(
                f"the files of an artefact are not those that were described: {'missing: ' if missing else ''}"
                f"{', '.join(missing or names)}; they were cut or changed on their way"
            )
        return cls(
            path=files[0],
            format=description["format"],
            files=files,
            size=sum(file.stat().st_size for file in files),
            digest=str(description["digest"]),
            inputs=tuple(map(_spec, description["inputs"])),
            outputs=tuple(map(_spec, description["outputs"])),
        )


def content_digest(files: Sequence[Path]) -> str:
    """SHA-256 of the names and contents of `files`, in hexadecimal."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def _spec(values: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(name=str(values["name"]), shape=tuple(values["shape"]), dtype=str(values["dtype"]))
