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


def test_a_metric_of_several_validation_loaders_is_told_of() -> None:
    error = MetricNotLoggedError("val_loss", ["val_loss/dataloader_idx_0", "val_loss/dataloader_idx_1"])
    assert "several validation loaders" in str(error)
    assert str(error).endswith("in on_validation_epoch_end, or name one of the logged metrics")
