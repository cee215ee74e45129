from __future__ import annotations

from pathlib import Path

import pytest

from lightning_primo import Metric, RandomSearch
from lightning_primo.cli.commands import plot
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.problem.trial import Proposal
from lightning_primo.results.artifacts import write_artifacts
from lightning_primo.search import read_result
from lightning_primo.search.description import describe
from lightning_primo.store import Store
from tests.cli.searches import written
from tests.results.search_log import ERROR, Log, make_problem

PNG = b"\x89PNG"


def drawn(*arguments: object) -> int:
    return plot.run(plot.parser().parse_args([str(argument) for argument in arguments]))


def test_both_pictures_beside_the_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path)
    assert drawn(tmp_path) == 0
    printed = capsys.readouterr().out
    for name in ("front.png", "hypervolume.png"):
        assert (tmp_path / name).read_bytes().startswith(PNG)
        assert str(tmp_path / name) in printed


def test_one_picture_into_a_file_and_both_into_a_folder(tmp_path: Path) -> None:
    written(tmp_path / "search")
    drawn(tmp_path / "search", "--out", tmp_path / "new" / "picture.svg", "--x", "parameters", "--y", "val_error")
    assert "<svg" in (tmp_path / "new" / "picture.svg").read_text()
    drawn(tmp_path / "search", "--out", tmp_path / "folder")
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["front.png", "hypervolume.png"]
    assert not (tmp_path / "search" / "front.png").exists()


def test_of_one_objective_there_is_one_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = Log(make_problem(ERROR))
    log.train(0, (0.25,))
    description = describe(
        log.problem, objectives=[Metric("val_error", mode="min")], constraints=[], algorithm=RandomSearch(), seed=0
    )
    with Store(tmp_path, description) as store:
        for event, elapsed in log.events:
            (store.ask if isinstance(event, Proposal) else store.tell)(event, elapsed=elapsed)  # type: ignore[arg-type]
    drawn(tmp_path)
    assert capsys.readouterr().out == f"picture of the best value over cost: {tmp_path / 'front.png'}\n"
    assert [path.name for path in tmp_path.glob("*.png")] == ["front.png"]
    write_artifacts(read_result(tmp_path))
    assert f"picture of the best value over cost: {tmp_path / 'front.png'}\n" in capsys.readouterr().out
    assert [path.name for path in tmp_path.glob("*.png")] == ["front.png"]


def test_what_cannot_be_drawn_is_told(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(UnknownNameError, match="unknown objective in 'x': 'size'"):
        drawn(tmp_path, "--x", "size")
    with pytest.raises(InvalidArgumentError, match=r"must end with one of \.png"):
        drawn(tmp_path, "--out", tmp_path / "front.jpg")
    (tmp_path / "file").touch()
    with pytest.raises(InvalidArgumentError, match=r"file/front\.png' cannot be written: "):
        drawn(tmp_path, "--out", tmp_path / "file")
