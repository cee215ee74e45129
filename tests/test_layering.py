"""Who imports whom, read from the source: the table below is the architecture, and everything must keep to it."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "lightning_primo"
FOLDERS = (PACKAGE, "models", "datamodules", "recipes", "benchmarks")

VALUES = {"errors", "checks", "problem"}
FILES = {"disk", "file_lock", "json_values", "layout"}
SEARCHING = VALUES | {"space", "pareto", "surrogates", "acquisitions", "algorithms"}
MEASURING = VALUES | {"file_lock", "timing", "factory", "measure", "runtimes", "serving", "objectives"}
TRAINING = MEASURING | FILES | {"namespaces", "callbacks", "nas", "workers", "training"}
STORING = VALUES | FILES | {"store"}

# What each module or subpackage of the package may import from the rest of it, besides itself.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "checks": {"errors"},
    "disk": {"errors"},
    "layout": {"errors", "disk"},
    "file_lock": set(),
    "json_values": set(),
    "lazy": set(),
    "namespaces": {"errors"},
    "python_path": {"errors"},
    "problem": {"errors", "checks"},
    "space": VALUES,
    "pareto": VALUES,
    "surrogates": VALUES | {"space", "pareto"},
    "analysis": VALUES | {"space", "surrogates"},
    "acquisitions": VALUES | {"space", "pareto", "surrogates"},
    "algorithms": VALUES | {"space", "pareto", "surrogates", "acquisitions"},
    "testing": SEARCHING,
    "factory": VALUES | {"namespaces"},
    "timing": VALUES,
    "measure": VALUES | {"file_lock", "timing"},
    "runtimes": VALUES | {"file_lock", "python_path", "timing", "measure"},
    "serving": VALUES | {"python_path", "timing", "runtimes"},
    "objectives": VALUES | {"disk", "file_lock", "layout", "factory", "timing", "measure", "runtimes", "serving"},
    "callbacks": VALUES | {"factory", "measure"},
    "hypergradients": VALUES | {"measure", "callbacks"},
    "nas": VALUES | {"factory", "measure"},
    "workers": VALUES | {"namespaces"},
    "training": TRAINING | {"pareto"},
    "store": STORING,
    "results": TRAINING | STORING | {"lazy", "pareto", "space", "analysis"},
    "study": SEARCHING | STORING | {"results"},
    "display": VALUES | {"results"},
    "search": SEARCHING | TRAINING | STORING | {"lazy", "results", "display", "study"},
    "cli": SEARCHING | TRAINING | STORING | {"results", "display", "study", "search", "__init__"},
    "__main__": {"cli"},
    "__init__": SEARCHING
    | {"namespaces", "factory", "runtimes", "objectives", "hypergradients", "search", "results", "study", "serving"},
}

# Packages that these must do without.
WITHOUT: list[tuple[set[str], set[str]]] = [
    (
        {"algorithms", "analysis", "pareto", "space", "testing", "study", "timing", *VALUES, *STORING},
        {"torch", "botorch", "gpytorch"},
    ),
    (
        SEARCHING | STORING | {"analysis", "testing", "study", "timing"},
        {"lightning", "torchvision", "torchmetrics", "fvcore"},
    ),
    ({"timing", "serving"}, {"ConfigSpace", "scipy"}),  # these also run on devices that have NumPy alone
    ({"serving"}, {"torch", "lightning", "typing_extensions", "filelock", "jsonargparse", "onnx"}),
    (set(MAY_IMPORT), {"torchvision", "pytorch_lightning", "models", "datamodules", "recipes", "benchmarks"}),
    ({"models", "datamodules"}, {PACKAGE, "recipes", "benchmarks"}),
    ({"models"}, {"datamodules"}),
    ({"datamodules"}, {"models"}),
    ({"benchmarks"}, {"recipes"}),
]


@dataclass(frozen=True)
class Import:
    """One import statement."""

    source: str
    target: str
    place: str


def modules(root: Path) -> dict[str, Path]:
    """All modules by their dotted name; a package goes by its own name."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path) -> list[Import]:
    """All imports, also those inside of functions and for type checking alone, as the modules that they lead to."""
    known = modules(root)
    return [
        Import(name, target, f"{path.relative_to(root)}:{line}")
        for name, path in known.items()
        for target, line in _targets(ast.parse(path.read_text(encoding="utf-8")), name, path, known)
    ]


def _targets(tree: ast.AST, name: str, path: Path, known: dict[str, Path]) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                yield (submodule if submodule in known else base), node.lineno


def unit(module: str) -> str:
    """The row of the table that a module of the project belongs to; for others their distribution's top name."""
    top, _, rest = module.partition(".")
    if top != PACKAGE:
        return top
    return rest.split(".")[0] or "__init__"


def wrong_directions(root: Path) -> list[str]:
    """Imports that the tables do not allow, a line each."""
    lines = []
    for found in imports(root):
        source_top, target_top = found.source.split(".")[0], found.target.split(".")[0]
        source, target = unit(found.source), unit(found.target)
        if source_top == target_top == PACKAGE and source != target:
            if source not in MAY_IMPORT:
                lines.append(f"{found.place}: {source!r} has no row in MAY_IMPORT")
            elif target not in MAY_IMPORT[source]:
                lines.append(f"{found.place}: {source} must not import {found.target}")
        for units, packages in WITHOUT:
            if source in units and target_top in packages:
                lines.append(f"{found.place}: {source} must not import {target_top}")
    return lines


def cycle(root: Path) -> list[str]:
    """A cycle of modules that import each other; empty if there is none."""
    known = modules(root)
    graph: dict[str, set[str]] = {name: set() for name in known}
    for found in imports(root):
        if found.target in known:
            graph[found.source].add(found.target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_all_imports_go_down() -> None:
    wrong = wrong_directions(ROOT)
    assert not wrong, "\n".join(["imports in the wrong direction:", *wrong])


def test_no_cycle() -> None:
    assert not cycle(ROOT), " -> ".join(cycle(ROOT))


def test_every_module_of_the_package_has_a_row() -> None:
    rows = {unit(name) for name in modules(ROOT) if name.split(".")[0] == PACKAGE}
    assert rows - set(MAY_IMPORT) == set(), "give these a row in MAY_IMPORT"


def plant(root: Path, path: str, text: str) -> None:
    for name in ("errors", "trial", "algorithms/__init__", "algorithms/base", "callbacks/__init__"):
        target = root / PACKAGE / f"{name}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.write_text("")
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (
            "lightning_primo/algorithms/base.py",
            "import lightning.pytorch as pl",
            "algorithms must not import lightning",
        ),
        ("lightning_primo/algorithms/base.py", "def f():\n    import torch", "algorithms must not import torch"),
        (
            "lightning_primo/algorithms/base.py",
            "from ..callbacks import Metric",
            "must not import lightning_primo.callb",
        ),
        (
            "lightning_primo/algorithms/base.py",
            "from lightning_primo import callbacks",
            "must not import lightning_primo",
        ),
        ("lightning_primo/callbacks/metric.py", "from lightning_primo.algorithms.base import A", "callbacks must not"),
        ("lightning_primo/errors.py", "from lightning_primo import Search", "errors must not import lightning_primo"),
        ("lightning_primo/newcomer.py", "from lightning_primo.errors import E", "'newcomer' has no row"),
        ("models/net.py", "from lightning_primo.nas import deepen", "models must not import lightning_primo"),
        ("benchmarks/speed.py", "import recipes.digits", "benchmarks must not import recipes"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, path: str, text: str, expected: str) -> None:
    plant(tmp_path, path, text)
    (line,) = wrong_directions(tmp_path)
    assert line.startswith(f"{path}:")
    assert expected in line


def test_a_cycle_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "lightning_primo/trial.py", "from lightning_primo.errors import E")
    plant(
        tmp_path,
        "lightning_primo/errors.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import trial",
    )
    assert {"lightning_primo.errors", "lightning_primo.trial"} <= set(cycle(tmp_path))
