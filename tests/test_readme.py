"""The README's own code and commands, as a newcomer would run them."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_python_example_runs(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(code)
    run = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "front of" in run.stdout
    assert (tmp_path / "runs/readme/front.png").stat().st_size > 1000


HELP = """
import runpy, sys
for module in sys.argv[1:]:
    sys.argv = [module, "--help"]
    try:
        runpy.run_module(module, run_name="__main__")
    except SystemExit as end:
        assert not end.code, module
"""


def test_every_command_has_help():
    modules = sorted(set(re.findall(r"(?:python -m |`)((?:recipes|benchmarks)\.\w+)", README)))
    assert {"recipes.digits", "recipes.flowers", "benchmarks.ask", "benchmarks.loader"} <= set(modules)
    run = subprocess.run(
        [sys.executable, "-c", HELP, *modules], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("usage:") == len(modules)


def test_the_make_targets_exist():
    targets = re.findall(r"^make (\w+)", README, flags=re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert set(targets) >= {"demo", "test", "check"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
