from __future__ import annotations

import os
import random
import runpy
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint, StochasticWeightAveraging
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from lightning_primo.cli.project import workplace
from lightning_primo.cli.project.project import Project
from lightning_primo.errors import CorruptStoreError, InvalidArgumentError, ProjectError, SearchMismatchError
from lightning_primo.training.loggers import check_loggers
from tests.cli.conftest import PROJECTS

CLASSIFIER = {"model.learning_rate": 0.01, "model.backbone.init_args.hidden_dim": 8, "data.batch_size": 16}


def test_classes_of_a_script(classifier: Path) -> None:
    project = Project.open(["config.yaml"], "main.py")
    assert project.base["model"]["learning_rate"] == 0.002
    assert project.base["data"] == {"batch_size": 64}
    assert project.seed == 1234
    module, data = project.module(CLASSIFIER), project.data(CLASSIFIER)
    assert type(module).__name__ == "LitClassifier"
    assert module.backbone.l1.out_features == 8
    assert module.hparams["learning_rate"] == 0.01
    assert data.batch_size == 16
    assert project.module({}).backbone.l1.out_features == 16  # the config's own
    assert project.trainer({}) == {"accelerator": "cpu", "enable_progress_bar": False}
    assert project.left_out == ["trainer.max_epochs"]
    assert project.for_search(encoded=[], max_epochs=2).left_out == []


def test_a_config_that_spells_out_lightnings_defaults_asks_for_no_bars(classifier: Path) -> None:
    spelt_out = {
        "enable_checkpointing": True,
        "enable_model_summary": True,
        "enable_progress_bar": True,
        "num_sanity_val_steps": 2,
        "gradient_clip_val": None,
        "accumulate_grad_batches": 1,
    }
    Path("more.yaml").write_text(yaml.safe_dump({"trainer": spelt_out}))
    project = Project.open(["config.yaml", "more.yaml"], "main.py")
    assert project.trainer({}) == {"accelerator": "cpu"}
    assert project.left_out == ["trainer.max_epochs"]
    Path("more.yaml").write_text(yaml.safe_dump({"trainer": {"num_sanity_val_steps": 1}}))
    assert Project.open(["config.yaml", "more.yaml"], "main.py").trainer({})["num_sanity_val_steps"] == 1


@pytest.mark.parametrize("cli", ["main.py", "main.py:cli_main", "main:cli_main", "main"])
def test_ways_to_name_the_script(classifier: Path, monkeypatch: pytest.MonkeyPatch, cli: str) -> None:
    config = classifier / "config.yaml"
    if cli not in ("main.py", "main"):  # as a module of its own, its classes are not those of __main__
        config = None
    assert type(Project.open([config] if config else [], cli).module({})).__name__ == "LitClassifier"


def test_nothing_is_trained_written_seeded_or_left_behind(classifier: Path) -> None:
    files = sorted(classifier.rglob("*"))
    constructor, main = LightningCLI.__init__, sys.modules["__main__"]
    state = (list(sys.path), list(sys.argv), Path.cwd())
    torch.manual_seed(5)
    random.seed(5)
    numbers = torch.random.get_rng_state(), random.getstate()
    project = Project.open([classifier / "config.yaml"], "main.py")
    project.trainer({})
    assert torch.equal(torch.random.get_rng_state(), numbers[0])
    assert random.getstate() == numbers[1]
    assert LightningCLI.__init__ is constructor
    assert sys.modules["__main__"] is main
    assert (list(sys.path), list(sys.argv), Path.cwd()) == state
    assert [path for path in sorted(classifier.rglob("*")) if "__pycache__" not in str(path)] == [
        path for path in files if "__pycache__" not in str(path)
    ]
    with project.active():
        assert sys.modules["__main__"].__file__ == str(classifier / "main.py")
        assert sys.argv == [str(classifier / "main.py")]


def test_links_hooks_and_the_configured_optimizer(networks: Path) -> None:
    project = Project.open(["config.yaml"], "train.py").for_search(encoded=(), max_epochs=9)
    values = {"data.init_args.batch_size": 8, "optimizer.init_args.lr": 0.5, "model.init_args.dropout": 0.4}
    module = project.module(values)
    assert module.network[-1].out_features == 5  # of the data, once they are made
    assert module.batch_size == 8
    assert module.total_epochs == 9
    (optimizer,), (scheduler,) = module.configure_optimizers()
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert scheduler.gamma == 0.9
    assert module.hparams["dropout"] == 0.4
    assert module.hparams["n_classes"] == 5
    assert project.data(values).n_classes == 5
    assert project.seed == 7


def test_default_config_files_bring_back_nothing_that_a_config_replaces(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A logger of a service that is not installed, in the files that the project's own command line reads first."""
    (tmp_path / "defaults.yaml").write_text(
        yaml.safe_dump({"trainer": {"logger": {"class_path": "lightning.pytorch.loggers.WandbLogger"}}})
    )
    (tmp_path / "script.py").write_text(
        "from lightning.pytorch.cli import LightningCLI\n"
        "from main import LitClassifier, MyDataModule\n"
        f"defaults = {{'fit': {{'default_config_files': [{str(tmp_path / 'defaults.yaml')!r}]}}}}\n"
        "LightningCLI(LitClassifier, MyDataModule, parser_kwargs=defaults)\n"
    )
    logger = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": "logs"}}
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump({"trainer": {"logger": logger}, "model": {"learning_rate": 0.1}})
    )
    monkeypatch.syspath_prepend(classifier)
    project = Project.open([tmp_path / "config.yaml"], str(tmp_path / "script.py"))
    for _ in range(2):  # as the config was read, and as it was noted
        assert project.module({}).hparams["learning_rate"] == 0.1
        assert project.data({}).batch_size == 32
        assert isinstance(project.trainer({})["logger"], CSVLogger)
        workplace._prepared.clear()


def test_another_class_has_its_own_arguments(networks: Path) -> None:
    project = Project.open(["config.yaml"], "train.py")
    values = {"model.class_path": "networks.Linear", "optimizer.class_path": "torch.optim.Adam"}
    module = project.module({**values, "optimizer.init_args.lr": 0.01})
    assert type(module).__name__ == "Linear"
    (optimizer,), _ = module.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)
    with pytest.raises(InvalidArgumentError, match="widths"):
        project.resolved({**values, "model.init_args.widths": [3]})


def test_arguments_of_the_trainer(networks: Path) -> None:
    project = Project.open(["config.yaml"], "train.py")
    arguments = project.trainer({"trainer.callbacks.0.init_args.patience": 2, "trainer.gradient_clip_val": 0.5})
    assert set(arguments) == {
        "accelerator",
        "callbacks",
        "enable_model_summary",  # of the script's trainer_defaults
        "enable_progress_bar",
        "gradient_clip_val",
        "logger",
    }
    stopping, checkpoint, monitor, averaging = arguments["callbacks"]
    assert isinstance(stopping, EarlyStopping)
    assert stopping.patience == 2
    assert isinstance(checkpoint, ModelCheckpoint)
    assert isinstance(monitor, LearningRateMonitor)
    assert isinstance(averaging, StochasticWeightAveraging)
    assert averaging._device == torch.device("cpu")  # a default without a notation in YAML
    assert isinstance(arguments["logger"], TensorBoardLogger)
    assert project.trainer({})["callbacks"][0] is not project.trainer({})["callbacks"][0]


def loggers_elsewhere(loggers: list[dict[str, Any]], folder: Path) -> Any:
    """What makes the loggers of a config for a trial's folder, as it comes to another process."""
    (folder / "loggers.yaml").write_text(yaml.safe_dump({"trainer": {"logger": loggers}}))
    project = Project.open(["config.yaml", folder / "loggers.yaml"], "train.py").for_search(encoded=(), max_epochs=3)
    make = cloudpickle.loads(cloudpickle.dumps(project.trainer({"trainer.gradient_clip_val": 0.5})["logger"]))
    check_loggers(make)
    return make


def folders_of_trials(folder: Path) -> list[Path]:
    trials = [folder / name for name in ("00000", "00001")]
    for trial in trials:
        trial.mkdir()
    return trials


def test_loggers_of_services_come_as_a_function_that_makes_those_of_a_trial(
    networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning.pytorch.loggers.wandb._WANDB_AVAILABLE", True)
    entry = {"class_path": "lightning.pytorch.loggers.WandbLogger", "init_args": {"project": "p", "save_dir": "."}}
    csv_entry = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": "here"}}
    loggers = [entry, csv_entry, {**entry, "init_args": {"name": "mine", "id": "abc", "save_dir": "elsewhere"}}]
    first_trial, second_trial = folders_of_trials(tmp_path)
    make = loggers_elsewhere(loggers, tmp_path)
    (first, csv, named), (second, *_), (again, *_) = map(make, (first_trial, second_trial, first_trial))
    assert (first.name, first.save_dir, named.save_dir) == ("p", str(first_trial), "elsewhere")
    assert first.version == again.version != second.version
    assert (csv.save_dir, named.version) == (str(first_trial), "abc-00000")
    assert {logger._wandb_init["group"] for logger in (first, second, again, named)} == {tmp_path.name}
    (own,) = loggers_elsewhere([{**entry, "dict_kwargs": {"group": "mine"}}], tmp_path)(first_trial)
    assert own._wandb_init["group"] == "mine"


def test_mlflow_loggers_of_a_project_have_a_run_per_trial(
    networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    where = f"file:{tmp_path}/mlruns"
    entry: dict[str, Any] = {
        "class_path": "lightning.pytorch.loggers.MLFlowLogger",
        "init_args": {"experiment_name": "e", "tracking_uri": where},
    }
    loggers = [entry, {**entry, "init_args": {**entry["init_args"], "run_name": "mine", "run_id": "gone"}}]
    first_trial, second_trial = folders_of_trials(tmp_path)
    make = loggers_elsewhere(loggers, tmp_path)
    (first, named), (second, _), (again, named_again) = map(make, (first_trial, second_trial, first_trial))
    assert first.run_id == again.run_id != second.run_id
    assert named.run_id == named_again.run_id not in (first.run_id, second.run_id)
    client = MlflowClient(where)
    names = [client.get_run(logger.run_id).info.run_name for logger in (first, second, named)]
    assert names == ["00000", "00001", "mine"]
    runs = client.search_runs([client.get_experiment_by_name("e").experiment_id])
    parents = {run.info.run_name: run.data.tags.get("mlflow.parentRunId") for run in runs}
    searches = {run.info.run_id for run in runs if run.info.run_name == tmp_path.name}
    assert len(searches) == len(loggers)
    assert len(runs) == 4 + len(searches)
    assert {parents["00000"], parents["00001"], parents["mine"]} == searches
    assert (parents["00000"], parents[tmp_path.name]) == (parents["00001"], None)


def test_a_value_that_is_no_scalar(networks: Path) -> None:
    project = Project.open(["config.yaml"], "train.py").for_search(encoded=["model.init_args.widths"], max_epochs=1)
    assert project.resolved({"model.init_args.widths": "[8, 4]"})["model"]["init_args"]["widths"] == [8, 4]
    assert project.module({"model.init_args.widths": "[8, 4]"}).network[1][0].out_features == 4


@pytest.mark.parametrize("nested", [False, True])
def test_a_plain_cli_needs_only_the_config(networks: Path, tmp_path: Path, nested: bool) -> None:
    config = {
        "model": {"class_path": "networks.Linear", "init_args": {"n_classes": 5}},
        "data": {"class_path": "digits.Digits", "init_args": {"data_dir": "images"}},
        "trainer": {"max_epochs": 4},
    }
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({"fit": config} if nested else config))
    (tmp_path / "b.yaml").write_text("data: {init_args: {batch_size: 9}}")  # merged over the first
    project = Project.open([tmp_path / "a.yaml", tmp_path / "b.yaml"])
    assert project.module({}).network.out_features == 5
    assert project.data({}).batch_size == 9
    assert project.base["trainer"]["max_epochs"] == 4


def test_data_are_not_made_for_the_model_alone(classifier: Path) -> None:
    project = Project.open(["config.yaml"], "main.py")
    with project.active():
        main = sys.modules["__main__"]
        main.MyDataModule.__init__ = None  # whoever calls it fails
        assert project.module({}) is not None
        main.LitClassifier.__init__ = None
        assert project.trainer({})["accelerator"] == "cpu"
        with pytest.raises(TypeError):
            project.data({})


def test_a_project_that_arrives_in_another_process_stays_active(networks: Path, tmp_path: Path) -> None:
    project = Project.open(["config.yaml"], "train.py")
    build = cloudpickle.dumps(project.trainer)
    workplace._prepared.clear()
    for name in ("networks", "digits"):
        sys.modules.pop(name, None)
    os.chdir(tmp_path)
    stopping = cloudpickle.loads(build)({"trainer.callbacks.0.init_args.patience": 3})["callbacks"][0]
    assert stopping.patience == 3
    assert Path.cwd() == networks
    assert sys.modules["__main__"].__file__ == str(networks / "train.py")
    assert sys.path[0] == str(networks)


@pytest.mark.parametrize("name", ["image_classifier", "digit_networks"])
def test_fit_runs_the_config_of_a_trial(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    folder = tmp_path / name
    shutil.copytree(PROJECTS / name, folder)
    monkeypatch.chdir(folder)
    if name == "image_classifier":
        script, command, values = "main.py", [], CLASSIFIER
    else:
        script, command = "train.py", ["fit"]
        values = {"model.class_path": "networks.Linear", "optimizer.class_path": "torch.optim.Adam"}
        values["optimizer.init_args.lr"] = 0.01
    project = Project.open(["config.yaml"], script).for_search(encoded=(), max_epochs=1)
    Path("trial.yaml").write_text(yaml.safe_dump(project.config_file(values)))
    monkeypatch.setattr(sys, "argv", [script, *command, "--config", "trial.yaml"])
    monkeypatch.syspath_prepend(str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runpy.run_path(script, run_name="__main__")
    (checkpoint,) = folder.rglob("*.ckpt")
    epoch = torch.load(checkpoint, weights_only=True)["epoch"]
    assert epoch == 0
    (saved,) = folder.rglob("logs/**/config.yaml") if command else folder.rglob("lightning_logs/**/config.yaml")
    found = yaml.safe_load(saved.read_text())
    if command:
        assert found["model"]["class_path"] == "networks.Linear"
    else:
        assert found["model"]["learning_rate"] == 0.01


def test_a_search_names_its_project(networks: Path, tmp_path: Path) -> None:
    project = Project.open(["config.yaml"], "train.py").for_search(encoded=["a"], max_epochs=3)
    assert Project.of_search(tmp_path) is None
    project.write(tmp_path)
    assert Project.of_search(tmp_path) == project
    project.write(tmp_path)
    other = {**project.base, "data": {"class_path": "digits.Digits", "init_args": {"batch_size": 1}}}
    with pytest.raises(SearchMismatchError, match=r"data\.init_args\.data_dir was 'images' and is not set, data\.init"):
        Project(configs=(), cli=None, folder=project.folder, base=other).write(tmp_path)
    quiet = {**project.base, "trainer": {**project.base["trainer"], "logger": False, "max_epochs": 8}}
    Project(configs=(), cli=None, folder=project.folder, base=quiet, encoded=("b",)).write(tmp_path)
    assert Project.of_search(tmp_path).encoded == ("b",)
    (tmp_path / "project.json").write_text('{"configs": []}')
    with pytest.raises(CorruptStoreError, match="is damaged"):
        Project.of_search(tmp_path)


SCRIPTS = {
    "absent.py": (None, InvalidArgumentError, r"'cli' names the script 'absent\.py', but there is no file"),
    "a b": (None, InvalidArgumentError, r"such as 'main\.py', .*got 'a b'"),
    "idle.py": ("x = 1", InvalidArgumentError, r"'idle\.py', run as a script, constructs no LightningCLI"),
    "idle.py:f": ("def f(): pass", InvalidArgumentError, r"f\(\) of 'idle\.py' constructs no LightningCLI"),
    "broken.py": ("def f():\n    return 1 / 0\nf()", ProjectError, r"(?s)running 'broken\.py' .*line 2, in f.*ZeroDiv"),
    "nowhere.at_all": (None, ProjectError, "No module named 'nowhere'"),
}


@pytest.mark.parametrize("cli", SCRIPTS)
def test_scripts_that_do_not_work(process: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: str) -> None:
    text, kind, message = SCRIPTS[cli]
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path(cli.partition(":")[0]).write_text(text)
    sys.modules.pop("idle", None)
    with pytest.raises(kind, match=message) as raised:
        Project.open([], cli)
    assert "lightning_primo/" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "cli", "message"),
    [
        ("model: [", "main.py", r"c\.yaml: Problems parsing config: .*line 2"),
        ("model: {lerning_rate: 1}", "main.py", r"c\.yaml: .*lerning_rate"),
        ("model: {learning_rate: fast}", "main.py", r"c\.yaml: .*\"model\.learning_rate\".*Expected a float.*fast"),
        (
            "model: {learning_rate: 1}",
            None,
            r"c\.yaml: .*say which script constructs the LightningCLI",
        ),
    ],
)
def test_configs_that_do_not_fit(classifier: Path, tmp_path: Path, text: str, cli: str | None, message: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InvalidArgumentError, match=message) as raised:
        Project.open([tmp_path / "c.yaml"], cli)
    assert "\n" not in str(raised.value)


def test_a_config_that_is_not_there(process: None) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'config' names '.*nope\.yaml', which is no file"):
        Project.open(["nope.yaml"])
    with pytest.raises(InvalidArgumentError, match="'config' names no file"):
        Project.open([])


OWN_INSTANTIATORS = """
from lightning.pytorch.cli import LightningCLI
from main import LitClassifier, MyDataModule

class Plain(LightningCLI):
    def _add_instantiators(self):
        pass

def cli_main():
    Plain(LitClassifier, MyDataModule)
"""


def test_instantiators_of_a_projects_own_are_its_own(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text(OWN_INSTANTIATORS)
    monkeypatch.syspath_prepend(classifier)
    (tmp_path / "config.yaml").write_text("model: {learning_rate: 0.5}")
    module = Project.open([tmp_path / "config.yaml"], f"{tmp_path / 'own.py'}:cli_main").module({"data.batch_size": 16})
    assert dict(module.hparams) == {"learning_rate": 0.5}  # of its constructor; Lightning's add what makes it
    assert "_instantiator" in Project.open(["config.yaml"], "main.py").module({}).hparams


def test_what_fails_while_the_parser_is_made_is_shown_as_the_projects(tmp_path: Path, process: None) -> None:
    (tmp_path / "own.py").write_text(
        "from lightning.pytorch.cli import LightningCLI\n"
        "class Own(LightningCLI):\n"
        "    def add_arguments_to_parser(self, parser):\n"
        "        parser.link()\n"
        "Own()\n"
    )
    (tmp_path / "config.yaml").write_text("seed_everything: 1")
    with pytest.raises(ProjectError, match=r"(?s)making the parser .*own\.py.*AttributeError") as raised:
        Project.open([tmp_path / "config.yaml"], str(tmp_path / "own.py"))
    assert "lightning_primo" not in str(raised.value)
