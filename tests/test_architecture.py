"""`ARCHITECTURE.md` and `GLOSSARY.md` say where things are; here it is looked up."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
from ConfigSpace import ConfigurationSpace, Float

from lightning_primo import Metric, RandomSearch, Search
from tests.test_layering import MAY_IMPORT, PACKAGE, ROOT
from tests.tiny import Data, Net

PAGE = (ROOT / "ARCHITECTURE.md").read_text()
GLOSSARY = (ROOT / "GLOSSARY.md").read_text()
TREE = re.findall(r"^( +)([\w/.]+?)/? {2,}\S", PAGE, flags=re.MULTILINE)


def test_the_tree_is_the_tree() -> None:
    above = [Path(PACKAGE)]
    listed: dict[Path, set[str]] = {}
    for indent, name in TREE:
        depth = len(indent) // 2
        above[depth:] = [above[depth - 1] / name]
        assert (ROOT / above[depth]).exists(), above[depth]
        listed.setdefault(above[depth - 1], set()).add(name)
    assert {name.removesuffix(".py") for name in listed.pop(Path(PACKAGE))} == set(MAY_IMPORT) - {
        "__init__",
        "__main__",
    }
    for room, names in listed.items():
        folders = {path.name for path in (ROOT / room).iterdir() if path.is_dir()} - {"__pycache__"}
        assert names == folders, room


def test_who_may_import_whom_is_what_is_tested() -> None:
    table = PAGE[PAGE.index("| room | may import |") :].partition("\n\n")[0]
    told = {}
    for line in table.splitlines()[2:]:
        rooms, may = (set(re.findall(r"`(\w+)`", cell)) for cell in line.strip("|").split("|"))
        told.update({room: may - {room} for room in rooms})
    expected = {room: may - {"errors", "__init__", room} for room, may in MAY_IMPORT.items()}
    assert told == {room: may for room, may in expected.items() if room not in ("errors", "__init__", "__main__")}


@pytest.mark.parametrize("text", [PAGE, GLOSSARY], ids=["architecture", "glossary"])
def test_every_file_that_is_named_is_there(text: str) -> None:
    named = [name for name in re.findall(r"`([a-z_]+(?:/[\w.]*)+|\w+\.py)`", text) if not name.startswith("tests/")]
    assert len(named) > 15
    missing = [name for name in named if not (ROOT / PACKAGE / name).exists()]
    assert not missing


@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="needs a repository")
@pytest.mark.parametrize("which", ["--cached", "--others"])
def test_no_file_of_the_package_is_ignored(which: str) -> None:
    """No tool checks what is, and no wheel has it."""
    command = ["git", "ls-files", which, "--ignored", "--exclude-standard", "--", PACKAGE]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [name for name in listed if "__pycache__" not in name] == []


def test_the_calls_from_the_loop_to_lightning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    fit = pl.Trainer.fit

    def watched(trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        frames = [frame.f_code for frame, _ in traceback.walk_stack(sys._getframe())]
        own = [code for code in reversed(frames) if f"/{PACKAGE}/" in code.co_filename]
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            seen.append([f"{_dotted(code.co_filename)}.{code.co_name}" for code in own])
        fit(trainer, *args, **kwargs)

    monkeypatch.setattr(pl.Trainer, "fit", watched)
    space = ConfigurationSpace(seed=0)
    space.add(Float("lr", (1e-3, 1e-1)))
    search = Search(
        space,
        module=Net,
        datamodule=Data(),
        objectives=[Metric("val_loss")],
        algorithm=RandomSearch(),
        epochs=(1, 1),
        directory=tmp_path,
        trainer={"accelerator": "cpu"},
    )
    search.run(trials=1, progress=False)
    (block,) = re.findall(r"```\n(search\.loop\.Loop\.run.*?)```", PAGE, flags=re.DOTALL)
    expected = [re.sub(r"\.[A-Z]\w+\.", ".", line) for line in block.split()]  # frames know no classes
    assert [frames[frames.index(expected[0]) :] for frames in seen] == [expected]


def _dotted(path: str) -> str:
    return ".".join(Path(path.rpartition(f"/{PACKAGE}/")[2]).with_suffix("").parts)
