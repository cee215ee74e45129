from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lightning_primo.errors import DeviceMismatchError, MetricNotLoggedError, NonFiniteLossError
from lightning_primo.problem.trial import Status
from lightning_primo.training.failures import classify, interruption, no_outcome


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NonFiniteLossError("NaN"), Status.DIVERGED),
        (RuntimeError("Function 'MulBackward0' returned nan values in its 0th output."), Status.DIVERGED),
        (torch.OutOfMemoryError("Tried to allocate"), Status.OUT_OF_MEMORY),
        (MemoryError(), Status.OUT_OF_MEMORY),
        (RuntimeError("CUDA out of memory. Tried"), Status.OUT_OF_MEMORY),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory"), Status.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), Status.OUT_OF_MEMORY),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), Status.OUT_OF_MEMORY),
        (RuntimeError("shapes do not match"), Status.ERROR),
        (ValueError("out of memory of what was asked"), Status.ERROR),
        (SystemExit(1), Status.ERROR),
    ],
)
def test_status(error: BaseException, status: Status) -> None:
    failure = classify(raised(error))
    assert failure.status is status
    if status is not Status.ERROR:
        assert "\n" not in failure.reason
        assert failure.reason


def test_the_cause_of_an_exception_counts() -> None:
    assert classify(raised(ValueError("step failed"), torch.OutOfMemoryError("x"))).status is Status.OUT_OF_MEMORY


def test_a_real_allocation_that_is_too_large() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**62, dtype=torch.uint8)
    assert classify(caught.value).status is Status.OUT_OF_MEMORY


def users_function(value: Any) -> Any:
    return torch.nn.functional.relu(value)


def test_the_signature_names_the_users_line() -> None:
    signatures = set()
    for value in (None, 3):
        with pytest.raises(TypeError) as caught:
            users_function(value)
        signatures.add(classify(caught.value).signature)
    line = users_function.__code__.co_firstlineno + 1
    assert signatures == {f"TypeError at {__file__}:{line}"}
    assert classify(raised(MemoryError())).signature == ""


@pytest.mark.parametrize("error", [MetricNotLoggedError("accuracy", ["loss"]), DeviceMismatchError("another chip")])
def test_what_no_other_configuration_will_change_is_no_outcome(error: Exception) -> None:
    assert no_outcome(raised(error)) is error
    assert no_outcome(raised(ValueError(f"{type(error).__name__} at "))) is None
    assert no_outcome(raised(MemoryError())) is None


def test_interruptions() -> None:
    def trainers_way() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise SystemExit(1)  # noqa: B904

    with pytest.raises(SystemExit) as caught:
        trainers_way()
    assert isinstance(interruption(caught.value), KeyboardInterrupt)
    assert isinstance(interruption(KeyboardInterrupt()), KeyboardInterrupt)
    assert isinstance(interruption(SIGTERMException()), SIGTERMException)
    assert interruption(SystemExit(1)) is None
    assert interruption(ValueError()) is None
