"""Proposals leave the other cores to the trainings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits
from typing_extensions import override

from lightning_primo import RandomSearch
from lightning_primo.problem.trial import Proposal
from lightning_primo.surrogates.one_thread import one_thread
from lightning_primo.testing.problems import toy_problem


def threads() -> set[int]:
    """Of all libraries of linear algebra in this process."""
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with threadpool_limits(2, user_api="blas"):
        if threads() != {2}:
            pytest.skip("the number of threads cannot be set here")
        yield


def test_one_thread_within_and_as_many_as_before_afterwards() -> None:
    with one_thread():
        assert threads() == {1}
        with one_thread():
            assert threads() == {1}
        assert threads() == {1}
    assert threads() == {2}


def test_as_many_as_before_when_the_last_of_several_threads_leaves() -> None:
    first, second = one_thread(), one_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert threads() == {1}
    second.__exit__(None, None, None)
    assert threads() == {2}


def test_after_an_error_too() -> None:
    with pytest.raises(ZeroDivisionError), one_thread():
        1 / 0  # noqa: B018
    assert threads() == {2}


def test_an_algorithm_proposes_on_one() -> None:
    seen = []

    class Watched(RandomSearch):
        @override
        def propose(self, rng: np.random.Generator) -> Proposal | None:
            seen.append(threads())
            return super().propose(rng)

    algorithm = Watched()
    algorithm.start(toy_problem(2))
    assert algorithm.ask() is not None
    assert seen == [{1}]
    assert threads() == {2}
