from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from lightning_primo.disk import storage_explained, storage_failure, writing_explained
from lightning_primo.errors import StorageError
from lightning_primo.layout import write_atomically
from lightning_primo.problem.trial import Status
from lightning_primo.training.failures import classify, no_outcome
from tests.disks import files_at_most

BIG = torch.zeros(100_000)


def raised_by(work: object) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        work()  # type: ignore[operator]
    return caught.value


def write_text(path: Path) -> None:
    path.write_text("x" * 500_000)


def save(path: Path) -> None:
    torch.save({"big": BIG}, path)


def save_into_file(path: Path) -> None:
    with path.open("wb") as file:
        torch.save({"big": BIG}, file)


@pytest.mark.parametrize("write", [write_text, save, save_into_file])
def test_a_write_that_the_disk_ends_is_told_from_other_errors(tmp_path: Path, write: object) -> None:
    with files_at_most(100_000):
        error = raised_by(lambda: write(tmp_path / "file"))  # type: ignore[operator]
    failure = storage_failure(error)
    assert failure is not None
    assert "MB free in" in failure
    if write is not save:  # of which torch does not say why
        assert "File too large" in failure
    assert classify(error).status is Status.ERROR
    stop = no_outcome(error)
    assert isinstance(stop, StorageError)
    assert str(stop) == failure
    with (
        pytest.raises(StorageError, match="'front' cannot be written: "),
        storage_explained("'front' cannot be written"),
    ):
        raise error


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EROFS", "EFBIG"])
def test_errors_of_the_system(tmp_path: Path, name: str) -> None:
    number = getattr(errno, name)
    failure = storage_failure(OSError(number, os.strerror(number), str(tmp_path / "last.ckpt")))
    assert failure is not None
    assert os.strerror(number) in failure
    assert f"MB free in {str(tmp_path)!r}" in failure
    # Where it was raised in a loader's process, the number is lost.
    assert storage_failure(
        OSError(f"Caught OSError in DataLoader worker process 0.\n[Errno {number}] {os.strerror(number)}")
    )


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOENT, "No such file or directory", "data.csv"),
        PermissionError(errno.EACCES, "Permission denied", "data.csv"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        RuntimeError("PytorchStreamReader failed reading zip archive: failed finding central directory"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("No space left on device"),
    ],
)
def test_errors_of_a_trial_are_none_of_the_disk(error: Exception) -> None:
    assert storage_failure(error) is None
    assert no_outcome(error) is None
    with pytest.raises(type(error)), storage_explained("x"):
        raise error


def test_whatever_keeps_a_file_that_was_asked_for_from_being_written() -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "report.html")
    with (
        pytest.raises(StorageError, match=r"^'x' cannot be written: Permission denied: 'report\.html'$"),
        writing_explained("'x' cannot be written"),
    ):
        raise error


def test_shared_memory_is_memory() -> None:
    text = "unable to allocate shared memory(shm) for file </torch_12_3>: No space left on device (28)"
    assert storage_failure(RuntimeError(text)) is None
    assert classify(RuntimeError(text)).status is Status.OUT_OF_MEMORY


def test_several_write_a_file_at_once_and_what_a_killed_one_has_left_goes(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    left, young = (tmp_path / f".value.json-{name}" for name in ("old", "young"))
    for file in (left, young):
        file.touch()
    os.utime(left, (0, 0))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: write_atomically(path, str(number)), range(100)))
    assert path.read_text() in map(str, range(100))
    assert {file.name for file in tmp_path.iterdir()} == {path.name, young.name}
