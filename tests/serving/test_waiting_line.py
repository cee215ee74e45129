from __future__ import annotations

from itertools import product

import pytest

from lightning_primo.serving.waiting_line import WaitingLine


def taken(line: WaitingLine[str]) -> list[str]:
    return [line.pop() for _ in range(len(line))]


def test_a_client_with_many_does_not_keep_another_waiting() -> None:
    line = WaitingLine[str]()
    for number in range(5):
        line.add("greedy", f"g{number}")
    line.add("modest", "m0")
    assert taken(line) == ["g0", "m0", "g1", "g2", "g3", "g4"]


@pytest.mark.parametrize("counts", list(product(range(4), repeat=3)))
def test_what_is_told_of_the_order_is_the_order_and_nobody_waits_for_two_of_another(counts: tuple[int, ...]) -> None:
    line = WaitingLine[str]()
    for client, count in zip("abc", counts, strict=True):
        for number in range(count):
            line.add(client, f"{client}{number}")
    told = list(line)
    order = taken(line)
    assert told == order
    assert sorted(order) == sorted(f"{c}{n}" for c, count in zip("abc", counts, strict=True) for n in range(count))
    for client, count in zip("abc", counts, strict=True):
        positions = [order.index(f"{client}{number}") for number in range(count)]
        assert positions == sorted(positions)
        for before, after in zip([-1, *positions], positions, strict=False):
            between = [entry[0] for entry in order[before + 1 : after]]
            assert len(between) == len(set(between))


def test_what_is_removed_is_not_taken_and_nothing_waits_then() -> None:
    line = WaitingLine[str]()
    line.add("a", "a0")
    line.add("a", "a1")
    line.remove("a", "a0")
    line.remove("a", "never there")
    line.remove("b", "a1")
    assert taken(line) == ["a1"]
    with pytest.raises(KeyError):
        line.pop()
