"""What an export says of itself to whoever is handed it: what is in it, how good it is, how it is loaded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from lightning_primo.problem import Problem
from lightning_primo.results.environment import versions
from lightning_primo.results.formatting import format_value
from lightning_primo.results.tables.text_tables import markdown_table, markdown_text
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.results.units import heading

README = "README.md"
_FILES = {
    "state_dict.pt": "the weights: `torch.load(path, weights_only=True)`, for `load_state_dict` of the module",
    "model.ckpt": "the same as a checkpoint of Lightning's",
    "model_with_objects.ckpt": "the same with hyperparameters that hold objects; it loads with `weights_only=False` "
    "alone, which runs code that the file may hold",
    "model.onnx": "the network in ONNX, for batches of any size: `onnxruntime.InferenceSession(path)`; it needs "
    "none of the project's code",
    "config.json": "the hyperparameters",
    "config.yaml": "the project's LightningCLI config with these hyperparameters, for its script: "
    "`python main.py test --config config.yaml --ckpt_path model.ckpt`",
    "schedule.json": "how hyperparameters changed during the training, by the epoch from which on they held",
    "objectives.json": "all values and measurements, what the training cost, and what the search was",
}


def readme(
    folder: Path,
    trials: Sequence[TrialResult],
    problem: Problem,
    *,
    tests: Mapping[int, Mapping[str, float]],
    table: str,
    missing: Collection[str] | None = None,
) -> str:
    """The text of an export's README, in Markdown.

    Args:
        folder: Of the export, with all other files in it.
        trials: Those that are exported.
        problem: What was searched.
        tests: Test metrics by trial id.
        table: The name of the file that has the trials as a table.
        missing: The hyperparameters that ``model.ckpt`` lacks as they hold objects, empty for all; None if none.
    """
    written = ", ".join(f"{name} {number}" for name, number in versions().items())
    there = {path.name for path in folder.glob("*/*")}
    first = next((trial.folder_name for trial in trials if not trial.known), None)
    lines = [
        "# Trained networks of a search",
        "",
        f"Each folder is a configuration that was trained for up to {problem.fidelity.text(problem.fidelity.full)}. "
        f"{_aims(problem)}",
        "",
        _table(trials, problem, tests),
        "",
        "Values are those of the validation data, by which the configurations were chosen, so that they are somewhat "
        "too good" + ("; those of test data are named so." if any(tests.get(trial.id) for trial in trials) else "."),
        "",
        f"- `{table}`: the table with all that is known of them",
        *(f"- `{name}`: {text}" for name, text in _FILES.items() if name in there),
    ]
    if first is not None:
        lines += _loading(first, missing, with_objects="model_with_objects.ckpt" in there)
    return "\n".join([*lines, "", f"Written with {written}.", ""])


def _loading(folder: str, missing: Collection[str] | None, *, with_objects: bool) -> list[str]:
    arguments = [f'"{folder}/model.ckpt"']
    remark = "Where the module does not save its hyperparameters, give it those of `config.json`."
    if with_objects:
        arguments = [f'"{folder}/model_with_objects.ckpt"', "weights_only=False"]
    elif missing is not None:
        arguments += [f"{name}=..." for name in missing] or ["..."]
        remark = (
            "What is `...` there are objects, such as layers, which the file does not hold: make them of `config.json` "
            "as the project does for a training."
        )
    return [
        "",
        "```python",
        "from project import Module  # the LightningModule's class, in the code that was searched with",
        "",
        f"module = Module.load_from_checkpoint({', '.join(arguments)}).eval()",
        "```",
        "",
        remark,
    ]


def _aims(problem: Problem) -> str:
    aims = [f"{markdown_text(one.name)} ({one.mode})" for one in problem.objectives]
    bounds = [
        f"{markdown_text(one.name)} {label} {format_value(bound)}"
        for one in (*problem.objectives, *problem.constraints)
        for label, bound in (("at most", one.at_most), ("at least", one.at_least))
        if bound is not None
    ]
    return f"Objectives: {', '.join(aims)}." + (f" Bounds: {', '.join(bounds)}." if bounds else "")


def _table(trials: Sequence[TrialResult], problem: Problem, tests: Mapping[int, Mapping[str, float]]) -> str:
    shown = (*problem.objectives, *problem.constraints)
    metrics = list(dict.fromkeys(name for trial in trials for name in tests.get(trial.id, {})))
    header = ["folder", *map(heading, shown), *metrics]
    rows = [
        [
            trial.folder_name + (" (known beforehand, without weights)" if trial.known else ""),
            *(trial.value_text(one.name) for one in shown),
            *(format_value(tests.get(trial.id, {}).get(name, float("nan"))) for name in metrics),
        ]
        for trial in trials
    ]
    return markdown_table(header, rows)
