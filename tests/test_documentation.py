"""The code and the commands of README and documentation, as a newcomer would run them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.forks import Forks
from tests.lean_imports import search_path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
START = (ROOT / "docs/start.md").read_text()

# How long the pages train is for their readers; what is replaced must be there.
SHORTER = {
    "python": {"epochs=(1, 9)": "epochs=(1, 3)", "full_trainings=8": "full_trainings=4"},
    "README": {"epochs=(1, 9)": "epochs=(1, 3)", "full_trainings=4": "full_trainings=2"},
    "data-fractions": {"full_trainings=4": "full_trainings=2"},
    "steps": {"steps=180": "steps=90"},
    "hypergradients": {
        "epochs=(1, 9)": "epochs=(1, 2)",
        "max_epochs=3": "max_epochs=1",
        "full_trainings=2": "full_trainings=1",
    },
}

# What a page says of its own code, beyond that it runs.
CHECKS = {
    "python": """
assert Path("runs/readme/front.png").stat().st_size > 1000
assert len(table) == len(result.trials)
""",
    "callbacks": """
from lightning.pytorch.demos.boring_classes import BoringModel

module = BoringModel()
module.example_input_array = torch.zeros(1, 32)
trainer.fit(module)
assert trainer.current_epoch == 3
assert {"parameters", "flops", "latency_cpu", "latency_cpu_iqr", "memory_cpu", "training_seconds"} <= set(
    trainer.callback_metrics
)
""",
    "hypergradients": """
assert {"tuned_weight_decay", "tuned_label_smoothing"} <= set(table.columns)
assert table.tuned_weight_decay.notna().any()
""",
    "priors": """
assert min(abs(trial.config["lr"] - 1e-2) for trial in result.trials[:2]) < 1e-9
""",
    "growing-networks": """
from lightning_primo.nas import deepen

config = {"lr": 0.1, "n_layers": 1, "width_1": 8}
(deeper,) = Perceptron.deeper(config)
parent, child = Perceptron(**config), Perceptron(**deeper)
deepen(child, parent, noise=0.0, generator=torch.Generator())
x = torch.rand(5, 64)
torch.testing.assert_close(child(x), parent(x))
""",
}


def code_of(page: Path, language: str) -> str:
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL))


@pytest.fixture(scope="session")
def example(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a project and its finished search, which pages go on from."""
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(ROOT / "tests/projects/example", folder, dirs_exist_ok=True)
    run = forks.run(["search.py"], cwd=folder)
    assert run.returncode == 0, run.stderr
    return folder


@pytest.mark.parametrize("page", [page for page in PAGES if code_of(page, "python")], ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page: Path, example: Path, forks: Forks, tmp_path: Path) -> None:
    folder = shutil.copytree(example, tmp_path / "folder")
    code = code_of(page, "python")
    for text, instead in SHORTER.get(page.stem, {}).items():
        assert text in code
        code = code.replace(text, instead)
    check = CHECKS.get(page.stem, "")
    (folder / "page.py").write_text(f"{code}\nimport torch\nfrom pathlib import Path\n{check}" if check else code)
    run = forks.run(["page.py"], cwd=folder)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("page", ["choosing", "interchange"])
def test_the_commands_of_a_page_run(page: str, example: Path, forks: Forks, tmp_path: Path) -> None:
    folder = shutil.copytree(example, tmp_path / "folder")
    commands = [line.split() for line in code_of(ROOT / f"docs/{page}.md", "console").splitlines() if line]
    assert commands
    for program, *arguments in commands:
        assert program == "lightning-primo"
        run = forks.run(["-m", program.replace("-", "_"), *arguments], cwd=folder)
        assert run.returncode == 0, f"{arguments}: {run.stderr}"
        assert run.stdout


def test_no_page_is_checked_in_vain() -> None:
    assert {*SHORTER, *CHECKS} <= {page.stem for page in PAGES if code_of(page, "python")}


def test_a_lightning_cli_project_is_searched(forks: Forks, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(ROOT / "tests/projects/image_classifier", project)
    (search_file,) = re.findall(r"```yaml\n# search.yaml\n(.*?)```", START, flags=re.DOTALL)
    (project / "search.yaml").write_text(search_file)
    shell = "".join(re.findall(r"```sh\n(lightning-primo .*?)```", START, flags=re.DOTALL))
    commands = [line.split("#")[0].split() for line in shell.splitlines()]
    assert [command[1] for command in commands if command[0] == "lightning-primo"] == [
        *("search", "search", "front", "export"),
        *("status", "front", "plot", "export", "measure"),
    ]
    # Both exports of the text go to the same folder, --watch would not end, and an hour is too long.
    changes = {"search": ["--epochs", "1", "--budget.full_trainings", "2"], "export": ["--overwrite"]}
    for command in commands:
        if command[:2] == ["python", "main.py"]:
            member, *_ = sorted((project / "front").glob("trial_*"))
            # This project's script has no subcommands.
            arguments = ["main.py", "--config", member / "config.yaml"]
        else:
            given = command[1:-2] if "--watch" in command else command[1:]
            cli = ["--cli", "main.py"] if given[0] == "measure" else []
            arguments = ["-m", "lightning_primo", *given, *changes.get(given[0], []), *cli]
        run = forks.run(arguments, cwd=project, env={"JSONARGPARSE_DEPRECATION_WARNINGS": "off"})
        assert run.returncode == 0, f"{arguments}: {run.stderr}"


HELP = """
import runpy, sys
for module in sys.argv[1:]:
    sys.argv = [module, "--help"]
    try:
        runpy.run_module(module, run_name="__main__")
    except SystemExit as end:
        assert not end.code, module
"""


def test_every_command_has_help(forks: Forks, tmp_path: Path) -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    modules = sorted(set(re.findall(r"(?:python -m |`)((?:recipes|benchmarks)\.\w+)", text)))
    assert {"recipes.digits", "recipes.flowers", "benchmarks.ask", "benchmarks.loader"} <= set(modules)
    script = tmp_path / "help.py"
    script.write_text(HELP)
    run = forks.run([script, *modules], cwd=ROOT, env={"PYTHONPATH": search_path(ROOT)})
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("usage:") == len(modules)


def test_the_make_targets_exist() -> None:
    text = "\n".join(page.read_text() for page in [*PAGES, ROOT / "CONTRIBUTING.md"])
    targets = re.findall(r"^make ([\w-]+)", text, flags=re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert set(targets) >= {"demo", "test", "check"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[\w-]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
