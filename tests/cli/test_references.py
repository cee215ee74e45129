"""Entries of a config that are written as another one reach a trial with the other's value."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import yaml

from lightning_primo.cli.project.followers import followed, following, not_followed, with_followers
from lightning_primo.cli.project.project import Project
from lightning_primo.cli.project.references import references
from lightning_primo.cli.search_file.space_check import check_space_fits
from lightning_primo.cli.search_file.space_file import read_space
from lightning_primo.errors import InvalidArgumentError, SearchMismatchError

WITH_OMEGACONF = pytest.mark.skipif(importlib.util.find_spec("omegaconf") is None, reason="omegaconf is not installed")

SCRIPT = """
from lightning.pytorch.cli import LightningCLI
from main import LitClassifier, MyDataModule

def cli_main():
    LightningCLI(LitClassifier, MyDataModule, parser_kwargs={"parser_mode": "MODE"})
"""
ALIASES = """
data: {batch_size: &size 16}
model:
  learning_rate: 0.5
  backbone: {class_path: main.Backbone, init_args: {hidden_dim: *size}}
"""
INTERPOLATIONS = ALIASES.replace("&size ", "").replace("*size", "'${data.batch_size}'")
HIDDEN = "model.backbone.init_args.hidden_dim"


@pytest.fixture
def opened(classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(classifier)

    def open_project(*configs: str, mode: str = "yaml") -> Project:
        (tmp_path / "own.py").write_text(SCRIPT.replace("MODE", mode))
        files = [tmp_path / f"{number}.yaml" for number in range(len(configs))]
        for file, text in zip(files, configs, strict=True):
            file.write_text(text)
        return Project.open(files, f"{tmp_path / 'own.py'}:cli_main")

    return open_project


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        (ALIASES, "yaml"),
        pytest.param(INTERPOLATIONS, "omegaconf", marks=WITH_OMEGACONF),
        pytest.param(INTERPOLATIONS.replace("${", "${fit."), "omegaconf+", marks=WITH_OMEGACONF),
    ],
)
def test_what_is_written_as_another_entry_has_its_value_in_each_trial(opened, text: str, mode: str) -> None:  # type: ignore[no-untyped-def]
    project = opened(text, mode=mode)
    values = {"data.batch_size": 4}
    assert project.module(values).backbone.l1.out_features == 4
    assert project.data(values).batch_size == 4
    assert project.config_file(values)["model"]["backbone"]["init_args"]["hidden_dim"] == 4
    assert project.module({**values, HIDDEN: 8}).backbone.l1.out_features == 8  # searched over on its own
    assert project.data({HIDDEN: 8}).batch_size == 16
    check_space_fits(project, read_space({"data.batch_size": [4, 8]}))


def test_the_length_of_a_full_training_reaches_what_is_written_as_it(opened) -> None:  # type: ignore[no-untyped-def]
    text = ALIASES.replace("*size", "*epochs") + "trainer: {max_epochs: &epochs 3}"
    project = opened("trainer: {max_epochs: &epochs 3}" + text.replace("trainer: {max_epochs: &epochs 3}", ""))
    assert project.for_search(encoded=(), max_epochs=9).module({}).backbone.l1.out_features == 9


def test_a_later_file_writes_it_anew(opened) -> None:  # type: ignore[no-untyped-def]
    project = opened(ALIASES, "model: {backbone: {class_path: main.Backbone, init_args: {hidden_dim: 16}}}")
    assert project.module({"data.batch_size": 4}).backbone.l1.out_features == 16


def test_a_search_does_not_go_on_where_they_are_others(opened, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    opened(ALIASES).write(tmp_path / "search")
    opened(ALIASES).write(tmp_path / "search")
    with pytest.raises(SearchMismatchError, match=r"was written as data\.batch_size and is written with"):
        opened(ALIASES.replace("&size ", "").replace("*size", "16")).write(tmp_path / "search")


@WITH_OMEGACONF
def test_what_is_made_of_another_entry_in_another_way_is_refused(opened) -> None:  # type: ignore[no-untyped-def]
    text = "data: {batch_size: 16}\nmodel: {learning_rate: '0.${data.batch_size}'}"
    with pytest.raises(InvalidArgumentError, match=r"of which the config makes 'model\.learning_rate'"):
        check_space_fits(opened(text, mode="omegaconf"), read_space({"data.batch_size": [4, 8]}))


@WITH_OMEGACONF
def test_the_name_of_a_run_is_made_of_the_trials_values(opened) -> None:  # type: ignore[no-untyped-def]
    logger = "{class_path: CSVLogger, init_args: {save_dir: runs, name: 'size_${data.batch_size}'}}"
    project = opened(f"{ALIASES}trainer: {{logger: {logger}}}", mode="omegaconf")
    check_space_fits(project, read_space({"data.batch_size": [4, 8]}))
    assert project.config_file({"data.batch_size": 4})["trainer"]["logger"]["init_args"]["name"] == "size_4"


def test_merged_mappings_and_relative_paths(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "fit:\n  a: &a {x: &x 1, y: 2}\n  b: {<<: *a, y: 3}\n  c: {<<: [*a]}\n"
        "  d: {e: '${..a.x}', f: [['${fit.a.x}'], 1], g: '${fit.a.y}', h: [*x, 2]}"
    )
    found = {made.key: (made.source, made.whole) for made in references([str(file)], interpolates=True)}
    assert found == {
        "b.x": ("a.x", True),
        "c.x": ("a.x", True),
        "c.y": ("a.y", True),
        "d.e": ("a.x", True),
        "d.f": ("a.x", False),
        "d.g": ("a.y", True),
        "d.h": ("a.x", False),
    }
    assert [made.key for made in references([str(file)], interpolates=False)] == ["b.x", "c.x", "c.y", "d.h"]


def test_a_file_in_the_place_of_a_group(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text("hidden: &h 8\nembedded: *h\nother: '${hidden}'")
    (tmp_path / "config.yaml").write_text("model: model.yaml\ndata: {csv: absent.yaml}")
    found = references([str(tmp_path / "config.yaml")], interpolates=True)
    assert {made.key: made.source for made in found} == {
        "model.embedded": "model.hidden",
        "model.other": "model.hidden",
    }


CLASSES = """
model:
  backbone: {class_path: A, init_args: {width: &w 16, out: *w}}
  head: {class_path: H, init_args: {width: *w}}
  neck: &neck {class_path: A, init_args: {size: 3}}
  tail: *neck
"""


@pytest.mark.parametrize(
    ("values", "also"),
    [
        ({"backbone.init_args.width": 4}, {"backbone.init_args.out": 4, "head.init_args.width": 4}),
        ({"backbone.init_args.width": 4, "backbone.class_path": "B"}, {"head.init_args.width": 4}),
        ({"backbone.init_args.width": 4, "head.class_path": "B"}, {"backbone.init_args.out": 4}),
        ({"backbone.init_args.width": 4, "head": {"class_path": "G"}}, {"backbone.init_args.out": 4}),
        (
            {"neck.init_args.size": 4, "neck.class_path": "B"},
            {"tail.init_args.size": 4, "tail.class_path": "B"},
        ),
        ({"neck.init_args.size": 4, "tail.class_path": "B"}, {}),
    ],
)
def test_arguments_of_a_class_that_a_trial_does_not_have_follow_nothing(
    tmp_path: Path, values: dict[str, object], also: dict[str, object]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CLASSES)
    base = yaml.safe_load(CLASSES)
    follows = followed(base, [str(file)], interpolates=False)
    given, more = ({f"model.{key}": value for key, value in laid.items()} for laid in (values, also))
    assert with_followers(given, follows, base) == {**given, **more}


def test_a_group_that_a_trial_replaces_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CLASSES)
    found = not_followed(["model.backbone"], [str(file)], {}, interpolates=False)
    assert [made.key for made in found] == ["model.head.init_args.width"]


def test_files_that_name_one_another(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model: {data: other.yaml, a: &a 1, b: *a}")
    (tmp_path / "other.yaml").write_text("made_for: config.yaml")
    found = references([str(tmp_path / "config.yaml")], interpolates=False)
    assert [made.key for made in found] == ["model.b"]


def test_texts_that_are_made_of_other_entries(tmp_path: Path) -> None:
    """As names of runs are."""
    file = tmp_path / "config.yaml"
    file.write_text("lr: 0.5\nmodel: {width: 8, run: 'w${.width}_${lr}', again: 'of ${model.run}', same: '${.again}'}")
    base = yaml.safe_load(file.read_text())
    base["model"].update(run="w8_0.5", again="of w8_0.5", same="of w8_0.5")
    follows = followed(base, [str(file)], interpolates=True)
    laid = with_followers({"model.width": 4}, follows, base)
    assert laid == {
        "model.width": 4,
        "model.run": "w4_0.5",
        "model.again": "of w4_0.5",
        "model.same": "of w4_0.5",
    }
    assert not not_followed(["model.width", "lr"], [str(file)], follows, interpolates=True)
    assert following(["lr"], follows)[0].startswith("model.run is written as w${model.width}_${lr} in the config")
    base["model"]["run"] = 80.5  # more than a text: of a number no more is known
    assert "model.run" not in followed(base, [str(file)], interpolates=True)
