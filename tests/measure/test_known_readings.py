"""What one process has read of the reference workload, later ones know."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch

from lightning_primo.measure import known_readings, latency
from lightning_primo.measure.known_readings import keep_readings, read_readings
from lightning_primo.measure.turns import machine_directory


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_readings_are_known_later_by_device() -> None:
    assert read_readings("Chip 9") == []
    keep_readings("Chip 9", [6.12345e-5, 1e-4])
    assert read_readings("Chip 9") == [6.123e-5, 1e-4]
    keep_readings("Chip 9", [2e-4])
    assert read_readings("Chip 9") == [2e-4]
    assert read_readings("Chip 10") == []
    assert len(list(machine_directory().iterdir())) == 1


def test_what_is_old_or_damaged_or_of_another_interpreter_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_readings("Chip 9", [6e-5])
    (file,) = machine_directory().iterdir()
    for text in ("", "{}", "[null]", '["x"]', "[0.0]", "[NaN]", "3"):
        file.write_text(text)
        assert read_readings("Chip 9") == []
    keep_readings("Chip 9", [6e-5])
    monkeypatch.setattr(sys, "version", "4.0")
    assert read_readings("Chip 9") == []
    monkeypatch.undo()


def test_readings_of_yesterday_are_not_known() -> None:
    keep_readings("Chip 9", [6e-5])
    (file,) = machine_directory().iterdir()
    yesterday = time.time() - 90_000
    os.utime(file, (yesterday, yesterday))
    assert read_readings("Chip 9") == []


def test_where_nothing_can_be_kept_measuring_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> Path:
        raise OSError("no space left on device")

    monkeypatch.setattr(known_readings, "machine_directory", full)
    keep_readings("Chip 9", [6e-5])
    assert read_readings("Chip 9") == []


def test_a_process_that_begins_while_the_machine_is_slowed_knows_so(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(latency, "device_name", lambda device: "Chip 9")
    latency.reference_for.cache_clear()
    try:
        first = latency.timed(lambda: sum(range(100)), cpu, max_seconds=0.05)
        readings = read_readings("Chip 9")
        assert len(readings) >= 3
        keep_readings("Chip 9", [reading / 50 for reading in readings] * 3)
        latency.reference_for.cache_clear()  # as another process
        second = latency.timed(lambda: sum(range(100)), cpu, max_seconds=0.05)
        assert second.slowdown > 5
        assert second.median < first.median / 2
        assert second.deviation > 0.4 * second.median
    finally:
        latency.reference_for.cache_clear()
