from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lightning_primo.cli.commands import status
from lightning_primo.errors import StoreError
from lightning_primo.problem.trial import Status
from lightning_primo.results.ended import write_ended
from lightning_primo.search.stored_search import StoredSearch
from lightning_primo.store import Store, owner_of
from tests.cli.searches import written
from tests.forks import Forks
from tests.results.search_log import ERROR, PARAMETERS, Log, make_problem


def shown(*arguments: object) -> int:
    return status.run(status.parser().parse_args([str(argument) for argument in arguments]))


def test_no_control_character_of_the_log_reaches_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    log.train(0, (float("nan"), 1.0), 0, status=Status.DIVERGED, reason="\x1b]0;title\x07 diverged")
    written(tmp_path, log)
    shown(tmp_path)
    assert "trial 0, diverged:  diverged" in capsys.readouterr().out


def test_status_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path)
    assert shown(tmp_path) == 0
    assert capsys.readouterr().out == (
        f"{tmp_path}\n"
        "  search         RandomSearch over 3 hyperparameters, 1 to 9 epochs, seed 3\n"
        "  objectives     val_error (min), parameters (min, at most 10,000)\n"
        "  constraints    flops (min, at most 20,000)\n"
        "  trials         8 (5 ok, 1 diverged, 1 rejected, 1 pending), 1 of them trained partly\n"
        "  spent          42 epochs = 4.667 full trainings, 0:00:42 h of search\n"
        "  to go on with  trial 7 (epoch 0 to 9)\n"
        "  front          3 trials, hypervolume 1.6 up to val_error 1, parameters 10,000\n"
        "  rungs          epoch 0: 1 lost; epoch 3: 2 trained; epoch 9: 4 trained, 1 lost, 1 pending\n"
        "  last failure   trial 3, diverged: loss is nan\n"
        "  process        none searches here now\n"
    )


def test_in_a_narrow_terminal_what_goes_on_stands_below_the_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)
    shown(tmp_path)
    whole = capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    shown(tmp_path)
    _, *lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    begin = " " * len("  to go on with  ")
    assert any(line.startswith(begin) for line in lines)
    assert re.sub(rf"\n{begin}", " ", "\n".join(lines)) == whole.split("\n", 1)[1].rstrip()


def test_status_says_why_a_search_has_ended_but_not_while_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path)
    write_ended(tmp_path, "the budget of 4 full trainings is used up")
    shown(tmp_path)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.split(maxsplit=1) == ["ended", "the budget of 4 full trainings is used up"]
    with Store(tmp_path, StoredSearch.open(tmp_path).description):
        shown(tmp_path)
    assert "ended" not in capsys.readouterr().out


def test_status_as_json_while_it_is_searched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path)
    with Store(tmp_path, StoredSearch.open(tmp_path).description):
        assert shown(tmp_path, "--json") == 0
        found = json.loads(capsys.readouterr().out)
        shown(tmp_path)
        lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
        assert ["running", "trial 7 (epoch 0 to 9)"] in lines
        assert lines[-1][1].startswith(f"process {os.getpid()} on ")
    assert found["searched_by"].startswith(f"process {os.getpid()} on ")
    assert found["algorithm"] == {"class": "RandomSearch", "sampler": {"class": "UniformSampler"}}
    by_status = {"ok": 5, "diverged": 1, "rejected": 1, "pending": 1}
    trials = {"total": 8, "by_status": by_status, "trained_partly": 1, "infeasible": 0}
    assert found["trials"] == trials
    assert found["spent"] == {"epochs": 42.0, "full_trainings": 42 / 9, "hours": 42 / 3600}
    assert found["pending"] == [{"trial": 7, "from_epoch": 0, "to_epoch": 9}]
    assert found["front"]["size"] == 3
    assert found["front"]["trials"][0] == {"trial": 1, "objectives": {"val_error": 0.2, "parameters": 1000.0}}
    assert found["rungs"][1] == {"epoch": 3, "trained": 2, "lost": 0, "pending": 0}
    assert found["front"]["reference"] == pytest.approx({"val_error": 1.0, "parameters": 1e4})
    assert found["last_failure"] == {"trial": 3, "status": "diverged", "reason": "loss is nan"}
    assert found["objectives"][1] == {
        "name": "parameters",
        "kind": "exact",
        "mode": "min",
        "at_most": 1e4,
        "at_least": None,
        "reference": None,
    }


def test_a_search_without_a_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    log.ask(0)
    written(tmp_path, log)
    shown(tmp_path)
    text = capsys.readouterr().out
    assert "no trial was trained to the full budget of 9 epochs yet" in text
    assert "last failure" not in text


def test_a_trial_that_the_user_stopped_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    log.train(0, (float("nan"), 1.0), 0, status=Status.DIVERGED, reason="loss is nan")
    log.train(1, (float("nan"), 1.0), 0, status=Status.STOPPED, reason="stopped by the user")
    written(tmp_path, log)
    shown(tmp_path)
    told = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "last failure trial 0, diverged: loss is nan" in told


def test_infeasible_trials_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    log.train(0, (0.5, 2e4))
    log.train(1, (0.4, 3e4))
    written(tmp_path, log)
    shown(tmp_path)
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[1:])
    assert lines["trials"] == "2 (2 ok), 2 infeasible"
    assert lines["front"] == "all 2 trials that were trained to the full budget of 9 epochs break a bound"


def test_watch_repeats_until_ctrl_c(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    assert shown(tmp_path, "--json", "--watch", "2.5") == 0
    assert waits == [2.5] * 3
    assert [json.loads(line)["trials"]["total"] for line in capsys.readouterr().out.splitlines()] == [8] * 3


def test_a_watch_that_is_piped_has_the_front_below_each_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = written(tmp_path)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            raise KeyboardInterrupt
        with Store(tmp_path, StoredSearch.open(tmp_path).description) as store:
            store.tell(log.tell(7, (0.1, 2000.0)), elapsed=50.0)

    monkeypatch.setattr(time, "sleep", sleep)
    assert shown(tmp_path, "--watch") == 0
    assert waits == [5.0] * 2
    before, after = capsys.readouterr().out.split(f"{tmp_path}\n")[1:]
    rows = [line.split() for line in before.partition("\n\n")[2].splitlines()]
    assert rows == [
        ["trial", "val_error", "parameters"],
        *(["1", "0.2", "1,000"], ["2", "0.3", "100"], ["4", "0.9", "10"]),
        [],
    ]
    assert ["7", "0.1", "2,000"] in [line.split() for line in after.splitlines()]


def test_a_watch_in_a_terminal_stays_within_it_and_ends_with_ctrl_c(tmp_path: Path, forks: Forks) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    for n in range(40):
        log.train(n, (0.01 * (n + 1), 1e4 - n))
    written(tmp_path, log)
    script = tmp_path / "terminal.py"
    script.write_text(IN_A_TERMINAL)
    run = forks.run([script, tmp_path])
    assert run.returncode == 0, run.stderr
    screen, code = json.loads(run.stdout)
    assert code == 0
    assert "Traceback" not in screen
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen))
    assert max(map(len, lines)) <= 80
    assert any(line.endswith("more; lightning-primo front shows them") for line in lines)
    assert screen.count("hypervolume") >= 2  # shown again


# Runs the command in a terminal of 24 lines and 80 columns, presses Ctrl-C once it was shown twice, and tells what was
# on the screen and the exit code.
IN_A_TERMINAL = """
import fcntl, json, os, pty, struct, subprocess, sys, termios
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
command = [sys.executable, "-m", "lightning_primo", "status", sys.argv[1], "--watch", "0.1"]
environment = {**os.environ, "TERM": "xterm"}
environment.pop("COLUMNS", None), environment.pop("LINES", None)
def take_terminal():
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment, preexec_fn=take_terminal)
os.close(slave)
screen = b""
while screen.count(b"hypervolume") < 2:
    screen += os.read(master, 65536)
os.write(master, b"\\x03")
while True:
    try:
        screen += os.read(master, 65536)
    except OSError:
        break
print(json.dumps([screen.decode(), process.wait()]))
"""


def test_there_is_no_search(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no search"):
        shown(tmp_path)


HOLD = """
import os, socket, sys, filelock
lock = filelock.FileLock(sys.argv[1] + "/search.lock")
lock.acquire()
with open(sys.argv[1] + "/search.owner", "w") as file:
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
print("locked", flush=True)
sys.stdin.read()
"""


def test_the_owner_is_seen_from_another_process(tmp_path: Path) -> None:
    assert owner_of(tmp_path) is None
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        owner = owner_of(tmp_path)
        assert owner is not None
        assert owner.startswith(f"process {process.pid} on ")
        process.kill()
    assert owner_of(tmp_path) is None


def test_looking_for_the_owner_keeps_no_search_out(tmp_path: Path) -> None:
    written(tmp_path)
    description = StoredSearch.open(tmp_path).description
    (tmp_path / "search.lock").touch()
    with (tmp_path / "search.lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # as a look does, for an instant
        timer = threading.Timer(0.05, fcntl.flock, (file, fcntl.LOCK_UN))
        timer.start()
        with Store(tmp_path, description):
            assert owner_of(tmp_path) is not None
        timer.join()
    assert owner_of(tmp_path) is None
