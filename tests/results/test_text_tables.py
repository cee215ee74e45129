from __future__ import annotations

from pathlib import Path

import pytest

from lightning_primo.results.tables.text_tables import latex_table, markdown_table
from tests.results.search_log import two_objective_log

HEADER = ["trial", "val_error", "cost | in $"]
ROWS = [["3", "0.25 ±8.0%", "relu_6 {a}"], ["12", "-", "\\~^<b>&#"]]


def test_markdown_has_a_row_for_each_and_no_cell_ends_one() -> None:
    assert markdown_table(HEADER, ROWS).splitlines() == [
        "| trial | val_error | cost \\| in $ |",
        "| --- | ---: | ---: |",
        "| 3 | 0.25 ±8.0% | relu_6 \\{a\\} |",
        "| 12 | - | \\\\~^\\<b\\>&\\# |",
    ]


def test_latex_escapes_all_that_it_would_read() -> None:
    assert latex_table(HEADER, ROWS).splitlines() == [
        r"\begin{tabular}{rrr}  % \usepackage{booktabs}",
        r"\toprule",
        r"trial & val\_error & cost \textbar{} in \$ \\",
        r"\midrule",
        r"3 & 0.25 $\pm$8.0\% & relu\_6 \{a\} \\",
        r"12 & - & \textbackslash{}\textasciitilde{}\textasciicircum{}\textless{}b\textgreater{}\&\# \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@pytest.mark.parametrize("break_", ["\n", "\r", "\x1b[31m"])
def test_a_name_stays_in_its_line(break_: str) -> None:
    for make in (markdown_table, latex_table):
        assert len(make([f"a{break_}b"], []).splitlines()) == len(make(["ab"], []).splitlines())
        assert "\x1b" not in make([f"a{break_}b"], [])


def test_a_front_is_pasted_as_it_is_shown(tmp_path: Path) -> None:
    front = two_objective_log().result(tmp_path).front.sort("parameters")
    rows = front.to_markdown().splitlines()
    assert rows[0].startswith("| trial | val_error | parameters |")
    assert [row.split(" | ")[:3] for row in rows[2:]] == [
        ["| 4", "0.9", "10"],
        ["| 2", "0.3", "100"],
        ["| 1", "0.2", "1,000"],
    ]
    assert r"1 & 0.2 & 1,000" in front.to_latex()
