"""The README's own code and commands, as a newcomer would run them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


SEARCH, ALONE, TUNED, CHAIN = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)

# What the text says of the module: a child begins as what its parent has learnt.
CHECK = """
import torch
from lightning_primo.nas import deepen

config = {"lr": 0.1, "n_layers": 1, "width_1": 8}
(deeper,) = Perceptron.deeper(config)
parent, child = Perceptron(**config), Perceptron(**deeper)
deepen(child, parent, noise=0.0, generator=torch.Generator())
x = torch.rand(5, 64)
torch.testing.assert_close(child(x), parent(x))
"""


def run_script(forks, code, directory):
    script = directory / "example.py"
    script.write_text(code)
    run = forks.run([script], cwd=directory)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_search_runs(tmp_path):
    """As it is started by hand, with all of its imports, but for how long it trains."""
    budget = "epochs=(1, 9)"
    assert budget in SEARCH
    script = tmp_path / "example.py"
    script.write_text(SEARCH.replace(budget, "epochs=(1, 3)"))
    run = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "front of" in run.stdout
    assert (tmp_path / "runs/readme/front.png").stat().st_size > 1000


def test_hyperparameters_are_tuned(forks, tmp_path):
    shorter = {"epochs=(1, 9)": "epochs=(1, 2)", "max_epochs=3": "max_epochs=1", "full_trainings=2": "full_trainings=1"}
    code = TUNED
    for text, instead in shorter.items():
        assert text in code
        code = code.replace(text, instead)
    check = '\nassert {"tuned_weight_decay", "tuned_label_smoothing"} <= set(table.columns)'
    check += "\nassert table.tuned_weight_decay.notna().any()"
    run_script(forks, code + check, tmp_path)


def test_the_chain_can_be_deepened(forks, tmp_path):
    run_script(forks, CHAIN + CHECK, tmp_path)


# The trainer of the text, with Lightning's own demonstration module.
TRAIN = """
import torch
from lightning.pytorch.demos.boring_classes import BoringModel

module = BoringModel()
module.example_input_array = torch.zeros(1, 32)
trainer.fit(module)
print(trainer.current_epoch, *sorted(trainer.callback_metrics))
"""


def test_the_callbacks_work_alone(forks, tmp_path):
    epochs, *metrics = run_script(forks, ALONE + TRAIN, tmp_path).strip().splitlines()[-1].split()
    assert epochs == "3"
    assert {"parameters", "flops", "latency_cpu", "latency_cpu_iqr", "memory_cpu", "training_seconds"} <= set(metrics)


def test_a_lightning_cli_project_is_searched(forks, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(ROOT / "tests/projects/image_classifier", project)
    (search_file,) = re.findall(r"```yaml\n# search.yaml\n(.*?)```", README, flags=re.DOTALL)
    (project / "search.yaml").write_text(search_file)
    shell = "".join(re.findall(r"```sh\n(lightning-primo .*?)```", README, flags=re.DOTALL))
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


def test_every_command_has_help(forks, tmp_path):
    modules = sorted(set(re.findall(r"(?:python -m |`)((?:recipes|benchmarks)\.\w+)", README)))
    assert {"recipes.digits", "recipes.flowers", "benchmarks.ask", "benchmarks.loader"} <= set(modules)
    script = tmp_path / "help.py"
    script.write_text(HELP)
    run = forks.run([script, *modules], cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("usage:") == len(modules)


def test_the_make_targets_exist():
    targets = re.findall(r"^make (\w+)", README, flags=re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert set(targets) >= {"demo", "test", "check"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
