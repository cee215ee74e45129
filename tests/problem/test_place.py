from __future__ import annotations

import pytest

from lightning_primo.problem.place import Place, place_text, same_place

CHIP = {"hardware": "Chip 9", "device": "cpu", "threads": "2", "batch_size": "1", "dtype": "float32"}


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({}, True),
        ({"dtype": "float16"}, True),  # a property of the network, as its width is
        ({"hardware": "Chip 10"}, False),
        ({"threads": "4"}, False),
        ({"batch_size": "32"}, False),
        ({"power": "low"}, False),
    ],
)
def test_which_places_are_the_same(other: Place, same: bool) -> None:
    assert same_place(CHIP, {**CHIP, **other}) is same
    assert same_place({**CHIP, **other}, CHIP) is same


def test_a_place_for_people() -> None:
    assert place_text({**CHIP, "power": "low"}) == "Chip 9, cpu, threads 2, batch size 1, float32, power low"
