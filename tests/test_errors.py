"""Errors as they reach a user, also from another process."""

import pickle

import pytest

from lightning_primo.errors import (
    CorruptStoreError,
    InvalidArgumentError,
    MetricNotLoggedError,
    PrimoError,
    UnknownNameError,
)


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgumentError("'n' must be positive, got 0"),
        UnknownNameError("objective", "eror", ["error", "size"]),
        MetricNotLoggedError("val_error", ["loss"], distilled=True),
        CorruptStoreError("damaged"),
    ],
)
def test_an_error_arrives_from_another_process_as_it_was_raised(error: PrimoError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert (arrived.args, vars(arrived)) == (error.args, vars(error))
