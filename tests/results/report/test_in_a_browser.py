"""The page as people see it, in a real browser."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer

from lightning_primo.cli.report_server import ReportServer
from lightning_primo.layout import checkpoint_file, trial_directory
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Origin, Status
from lightning_primo.results.report import report_page
from lightning_primo.results.report.page import inert_json
from lightning_primo.results.result import Result
from tests.results.search_log import ERROR, PARAMETERS, Log, make_problem

CHROMIUM = next((path for path in map(Path, ("/usr/bin/chromium", "/usr/bin/chromium-browser")) if path.exists()), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt install chromium")

EVIL = "</script><img src=x onerror='document.title=\"caught\"'><b>bold</b>"
SECTIONS = (
    *("front", "parallel", "importances", "slices", "curves", "hypervolume"),
    *("budget", "failures", "priors", "lineage", "environment"),
)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[[str], Any]]:
    """Opens an address; in the end nothing may have been said on the console or asked of any other address."""
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    complaints: list[str] = []

    def opened(address: str) -> Any:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append("a dialog"))
        origin = address.rsplit("/", 1)[0]
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((origin, "data:", "blob:"))
                else complaints.append(f"asked for {request.url}")
            ),
        )
        page.goto(address)
        page.wait_for_selector("body[data-ready=yes]", timeout=60_000)
        return page

    yield opened
    context.close()
    assert not complaints


def draw_all(page: Any) -> set[str]:
    for section in page.locator("section").all():
        section.scroll_into_view_if_needed()
        page.wait_for_selector(f"body[data-drawn~={section.get_attribute('id')}]", timeout=60_000)
    return set(page.locator("body").get_attribute("data-drawn").split())


def hostile_search(directory: Path, n_objectives: int = 4, n: int = 24) -> Result:
    """A search in which everything that a user names is called by what would do harm."""
    names = [f"error {EVIL}", f"size {EVIL}", "latency", "memory"]
    objectives = (
        Objective(name=names[0]),
        Objective(name=names[1], kind=Kind.EXACT, log=True, at_most=1e6),
        Objective(name=names[2], kind=Kind.MEASURED),
        Objective(name=names[3], mode="max", kind=Kind.MEASURED),
    )
    space = ConfigurationSpace(seed=0)
    kind, extra = Categorical("kind", [EVIL, "plain"]), Float(f"rate {EVIL}", (1e-4, 1.0), log=True)
    space.add(kind, extra, Integer("depth", (1, 4)), Float("only", (0.0, 1.0)))
    space.add(EqualsCondition(space["only"], kind, "plain"))
    log = Log(Problem(space=space, objectives=objectives[:n_objectives], max_epochs=9))
    rng = np.random.default_rng(0)
    for i in range(n):
        plain = bool(i % 3)
        config: dict[str, Any] = {"kind": "plain" if plain else EVIL, "depth": 1 + i % 4}
        config[extra.name] = float(10 ** rng.uniform(-4, 0))
        if plain:
            config["only"] = float(rng.random())
        error, size = abs(np.log10(config[extra.name]) + 2) / 4, 10.0 ** (1 + i % 4)
        values = (error, size, 0.001 * (i % 5 + 1), float(rng.random()))[:n_objectives]
        family = {"parent": i - 4, "operation": EVIL} if i >= 12 else {}
        log.ask(i, 3 if i % 4 == 0 else 9, config=config, prior=names[0] if i % 5 == 0 else None, **family)
        if i == 7:
            unknown = (float("nan"),) * n_objectives
            log.tell(i, unknown, 2, status=Status.ERROR, reason=f"{EVIL}\n{EVIL}", signature=EVIL)
            continue
        curve = {epoch: (error + 1 / epoch, *values[1:]) for epoch in range(1, 4 if i % 4 == 0 else 10)}
        deviations = {"latency": 0.0001} if n_objectives > 2 else {}
        log.tell(i, values, 3 if i % 4 == 0 else 9, curve=log_curve(log, curve), deviations=deviations)
    prior = {"class": "Prior", "center": {extra.name: 0.01, "kind": EVIL}, "confidence": 0.5}
    description = {"algorithm": json.dumps({"class": EVIL, "priors": {names[0]: prior}}), "seed": "0"}
    folder = directory / EVIL.replace("/", "_")
    return Result(log.problem, log.events, directory=folder, build=None, description=description)


def keep_weights(directory: Path, trial: int) -> None:
    kept = checkpoint_file(trial_directory(directory, trial))
    kept.parent.mkdir(parents=True)
    kept.touch()


def log_curve(log: Log, curve: dict[int, tuple[float, ...]]) -> dict[int, tuple[float, ...]]:
    pairs = log.problem.objectives
    return {
        epoch: tuple(objective.loss(value) for objective, value in zip(pairs, values, strict=True))
        for epoch, values in curve.items()
    }


@pytest.mark.parametrize("n_objectives", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_every_part_is_drawn_and_hostile_names_are_text(
    tmp_path: Path, open_page: Callable[[str], Any], n_objectives: int
) -> None:
    result = hostile_search(tmp_path, n_objectives)
    path = result.report(tmp_path / "page.html")
    page = open_page(path.as_uri())
    assert draw_all(page) == set(SECTIONS)
    assert page.title() == f"{result.directory.name} – lightning-primo"
    assert page.locator("img").count() == 0
    assert page.locator("b", has_text="bold").count() == 0
    assert EVIL in page.locator("#detail").inner_text()
    for section in ("front", "importances", "slices", "curves", "hypervolume", "budget", "lineage"):
        assert page.locator(f"#{section} .js-plotly-plot svg.main-svg").count() > 0, section
    assert page.locator("#parallel svg text").count() > 10
    assert page.locator("#priors .badge").count() == 1


def test_the_best_so_far_keeps_all_bounds(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    bounded = replace(make_problem(Objective(name="loss")), constraints=(Objective(name="gap", at_most=0.1),))
    log = Log(bounded)
    for i, (loss, gap) in enumerate(((0.5, 0.0), (0.1, 0.3), (0.4, 0.1))):
        curve = {1: (0.9,), 2: (float("nan"),), 9: (loss,)}
        log.train(i, (loss,), measurements={"gap": gap}, curve=curve)
    log.ask(3, origin=Origin.KNOWN)
    log.tell(3, (0.7,), measurements={"gap": 0.0}, cost=0)
    keep_weights(tmp_path, 2)
    page = open_page(log.result(tmp_path).report(tmp_path / "page.html").as_uri())
    traces = page.evaluate("document.getElementById('front-plot').data.map(t => [t.name, t.x, t.y])")
    assert traces == [
        ["infeasible (1)", [1], [0.1]],
        ["trained fully", [0, 2, 3], [0.5, 0.4, 0.7]],
        ["best so far", [0, 2, 3], [0.5, 0.4, 0.4]],
    ]
    curve = page.evaluate("document.querySelector('#detail .js-plotly-plot').data[0].y")
    assert curve == [0.9, None, 0.4]  # what is unknown is no zero
    assert page.locator(".figure", has_text="infeasible").locator("b").inner_text() == "1"
    draw_all(page)
    assert "at most 0.1" in page.locator("#environment tr", has_text="constraint gap").inner_text()
    page.locator("#table button", has_text="all trials").click()
    page.locator("#table tr[data-trial='3']", has_text="3 (known)").click()
    assert "Its result was known" in page.locator("#detail").inner_text()
    page.locator("#table tr[data-trial='0']").click()
    assert "Its weights are not kept" in page.locator("#detail").inner_text()


@pytest.mark.slow
def test_a_front_that_is_empty_for_want_of_feasible_trials(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    log = Log(make_problem(Objective(name="loss", at_most=0.1)))
    log.train(0, (0.5,))
    page = open_page(log.result(tmp_path).report(tmp_path / "page.html").as_uri())
    why = "The only trial that was trained to the full budget of 9 epochs breaks a bound; the nearest: loss = 0.5"
    assert why in page.locator("#detail").inner_text()
    assert page.locator("#table tbody tr").count() == 1  # all trials, as there is no front
    page.locator("#table button", has_text="the best (0)").click()
    assert why in page.locator("#table").inner_text()


@pytest.mark.parametrize("n_objectives", [1, 2])
def test_without_a_value_there_is_no_empty_chart(
    tmp_path: Path, open_page: Callable[[str], Any], n_objectives: int
) -> None:
    log = Log(make_problem(*(Objective(name=f"loss {i}", log=True) for i in range(n_objectives))))
    for i, status in enumerate((Status.DIVERGED, Status.ERROR, Status.ERROR)):
        log.train(i, (float("nan"),) * n_objectives, 1, status=status, reason="why")
    page = open_page(log.result(tmp_path).report(tmp_path / "page.html").as_uri())
    assert page.locator("#front-plot").inner_text() == "All 3 trials failed (2 error, 1 diverged)."
    assert page.locator(".figure", has_text="hypervolume").count() == 0


@pytest.mark.parametrize("n_objectives", [1, 2])
def test_axes_stay_near_values_that_are_all_the_same(
    tmp_path: Path, open_page: Callable[[str], Any], n_objectives: int
) -> None:
    log = Log(make_problem(*(ERROR, PARAMETERS)[:n_objectives]))
    for i in range(3):
        log.train(i, (0.1, 1000.0)[:n_objectives])
    page = open_page(log.result(tmp_path).report(tmp_path / "page.html").as_uri())
    low, high = page.evaluate("document.getElementById('front-plot').layout.yaxis.range")
    assert 0.05 < low < 0.1 < high < 0.2
    expected = "the best" if n_objectives == 1 else "on the front"
    assert page.locator("#detail p").first.inner_text().startswith(f"{expected}, epoch 9 of 9")


def test_large_numbers_are_those_that_a_terminal_shows(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    log = Log(make_problem(Objective(name="loss"), Objective(name="size in kB")))
    log.train(0, (0.1234567, 141_219.25))
    page = open_page(log.result(tmp_path).report(tmp_path / "page.html").as_uri())
    assert page.locator("#table tbody tr").first.inner_text().split("\t")[:3] == ["0", "0.1235", "141,219"]


def test_a_reader_sees_where_to_begin_and_how_sure_it_is(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    problem = replace(make_problem(ERROR, PARAMETERS), constraints=(Objective(name="flops", at_most=1e4),))
    log = Log(problem)
    for i, (error, parameters) in enumerate(((0.1, 5000.0), (0.12, 100.0), (0.9, 50.0))):
        log.train(i, (error, parameters), measurements={"flops": 7.0 * (i + 1)})
    log.ask(3)
    (tmp_path / "ended.txt").write_text("the budget is used up\n")
    page = open_page(log.result(tmp_path).report(tmp_path / "page.html").as_uri())
    assert page.locator(".suggested > span").all_inner_texts() == [
        "lowest val_error: trial 0",
        "where the front bends the most: trial 1",
        "lowest parameters: trial 2",
    ]
    page.locator(".suggested button", has_text="trial 1").click()
    assert page.locator("#detail h3").first.inner_text() == "Trial 1"
    assert "flops\n14" in page.locator("#detail").inner_text()
    assert "Each val_error is of one training" in page.locator("#front-note").inner_text()
    assert "ended: the budget is used up" in page.locator("header").inner_text()
    assert page.locator(".figure", has_text="in training").locator("b").inner_text() == "1"


def test_a_phone_shows_all_without_scrolling_sideways(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    page = open_page(hostile_search(tmp_path).report(tmp_path / "page.html").as_uri())
    page.set_viewport_size({"width": 390, "height": 800})
    page.reload()
    page.wait_for_selector("body[data-ready=yes]", timeout=60_000)
    draw_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_trial_is_chosen_and_its_command_shown(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    result = hostile_search(tmp_path)
    chosen = result.front[-1].id
    keep_weights(result.directory, chosen)
    page = open_page(result.report(tmp_path / "page.html").as_uri())
    draw_all(page)
    page.locator(f"#table tr[data-trial='{chosen}']").click()
    assert page.locator("#detail h3").first.inner_text() == f"Trial {chosen}"
    command = page.locator("#detail pre.command").inner_text()
    assert command.endswith(f"--trial {chosen} --out trial_{chosen}")
    assert command.startswith("lightning-primo export '")
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed')); }")
    page.locator("#detail button", has_text="copy").click()
    page.locator("#detail button", has_text="Ctrl+C").wait_for()
    assert page.evaluate("getSelection().toString()").strip() == command
    page.locator("#table button", has_text="all trials").click()
    assert page.locator("#table tbody tr").count() == len(result.trials)
    page.locator("#table th", has_text="trial").first.click()
    page.locator("#table th", has_text="trial").first.click()
    assert page.locator("#table tbody tr").first.get_attribute("data-trial") == str(len(result.trials) - 1)
    page.locator("#table input").fill("no such text")
    assert page.locator("#table tbody tr").count() == 0


def test_rows_and_headings_are_reached_and_chosen_by_keyboard(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    for i in range(40):
        log.train(i, (0.9 - 0.01 * i, 10.0 + i))
    page = open_page(log.result(tmp_path).report(tmp_path / "page.html").as_uri())
    focused = "document.activeElement.closest('tr')?.dataset.trial"
    selected = "[...document.querySelectorAll('#table tr[aria-selected=true]')].map(row => row.dataset.trial)"
    page.locator("#table input").focus()
    for _ in range(1 + page.locator("#table th").count()):  # past the headings
        page.keyboard.press("Tab")
    assert (page.evaluate(focused), page.evaluate(selected)) == ("39", ["39"])  # the most accurate one
    for _ in range(30):
        page.keyboard.press("ArrowDown")
    place = page.evaluate("document.querySelector('#table .scroll').scrollTop")
    assert place > 0
    assert (page.evaluate(focused), page.evaluate(selected)) == ("9", ["39"])
    page.keyboard.press("Enter")
    assert page.locator("#detail h3").first.inner_text() == "Trial 9"
    assert (page.evaluate(focused), page.evaluate(selected)) == ("9", ["9"])  # where it was
    assert page.evaluate("document.querySelector('#table .scroll').scrollTop") == place
    page.keyboard.press("End")
    page.keyboard.press("Space")
    assert page.evaluate(selected) == ["0"]
    assert page.evaluate("document.querySelectorAll('#table tr[tabindex=\\'0\\']').length") == 1
    heading = page.get_by_role("button", name="sort by parameters")
    heading.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.textContent") == "parameters ▴"
    assert page.get_by_role("columnheader", name="sort by parameters").get_attribute("aria-sort") == "ascending"
    assert page.get_by_role("grid", name="trials").get_by_role("row", selected=True).count() == 1
    page.get_by_role("button", name="all trials").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.textContent") == "all trials (40)"


@pytest.mark.parametrize("n_objectives", [1, 2])
def test_the_head_has_what_was_reached(tmp_path: Path, open_page: Callable[[str], Any], n_objectives: int) -> None:
    log = Log(make_problem(*(ERROR, PARAMETERS)[:n_objectives]))
    log.train(0, (0.1, 1000.0)[:n_objectives])
    page = open_page(log.result(tmp_path).report(tmp_path / "page.html").as_uri())
    figures = [text.replace("\u00a0", " ") for text in page.locator(".figure").all_inner_texts()]
    reached = {1: "10 %\nbest val_error", 2: "0.9\nhypervolume up to val_error 100 %, parameters 10 k"}
    assert reached[n_objectives] in figures
    assert len([text for text in figures if "hypervolume" in text]) == n_objectives - 1


@pytest.mark.slow
def test_a_point_of_the_front_can_be_clicked(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    page = open_page(hostile_search(tmp_path).report(tmp_path / "page.html").as_uri())
    points = page.evaluate(
        """() => document.getElementById("front-plot").data.flatMap((trace, t) =>
             (trace.customdata ?? []).map((id, i) => ({ id, t, i })))"""
    )
    assert len(points) > 10
    page.evaluate(
        "id => document.getElementById('front-plot').emit('plotly_click', { points: [{ customdata: id }] })",
        points[3]["id"],
    )
    assert page.locator("#detail h3").first.inner_text() == f"Trial {points[3]['id']}"


@pytest.mark.slow
def test_brushing_narrows_down(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    page = open_page(hostile_search(tmp_path).report(tmp_path / "page.html").as_uri())
    draw_all(page)
    page.locator("#parallel").scroll_into_view_if_needed()
    count = page.locator("#parallel .controls > span").last
    before = int(count.inner_text().split()[0])
    box = page.locator("#parallel rect.grip[data-axis=depth]").bounding_box()
    middle = box["x"] + box["width"] / 2
    page.mouse.move(middle, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(middle, box["y"] + box["height"] / 3, steps=4)
    page.mouse.up()
    after = int(count.inner_text().split()[0])
    assert 0 < after < before
    dimmed = page.evaluate("document.getElementById('front-plot').data.filter(t => t.selectedpoints).length")
    assert dimmed > 0
    page.locator("#parallel button", has_text="clear").click()
    assert int(count.inner_text().split()[0]) == before


@pytest.mark.slow
def test_brushing_by_finger_does_not_scroll_the_page(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    for i in range(10):
        log.train(i, (0.9 - 0.08 * i, 10.0 + i))
    page = open_page(log.result(tmp_path).report(tmp_path / "page.html").as_uri())
    draw_all(page)
    page.evaluate("document.getElementById('parallel').scrollIntoView({ behavior: 'instant' })")
    place = page.evaluate("scrollY")
    box = page.locator("#parallel rect.grip[data-axis=lr]").bounding_box()
    finger = page.context.new_cdp_session(page)
    for kind, share in (("touchStart", 0.1), *(("touchMove", 0.1 + 0.05 * i) for i in range(1, 9)), ("touchEnd", None)):
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] * (share or 0)}
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [] if share is None else [at]})
        page.wait_for_timeout(20)
    assert page.evaluate("scrollY") == place
    height = page.locator("#parallel rect.brush").bounding_box()["height"]
    assert height == pytest.approx(0.4 * box["height"], abs=2)


def test_brushing_by_keyboard(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    problem = make_problem(ERROR, PARAMETERS)
    problem.space.add(Integer("layers", (1, 3)))
    log = Log(problem)
    for i in range(10):
        momentum = {"optimizer": "sgd", "momentum": 0.11 * i} if i % 2 else {"optimizer": "adam"}
        log.train(i, (0.9 - 0.08 * i, 10.0 + i), config={"lr": 0.1, "layers": 1 + i % 3, **momentum})
    page = open_page(log.result(tmp_path).report(tmp_path / "page.html").as_uri())
    draw_all(page)
    kept = "document.querySelector('#parallel [role=status]').textContent"
    focused = "document.activeElement.getAttribute('aria-label')"
    value = "document.activeElement.getAttribute('aria-valuetext')"

    def press(*keys: str) -> tuple[str, str, str]:
        for key in keys:
            page.keyboard.press(key)
        return page.evaluate(focused), page.evaluate(value), page.evaluate(kept)

    page.locator("#parallel button", has_text="clear").focus()
    assert press("Tab") == ("layers", "all", "10 of 10 trials")
    assert press("ArrowUp") == ("layers", "2 to 3", "6 of 10 trials")
    assert press("ArrowUp") == ("layers", "3 to 3", "3 of 10 trials")  # a whole number at a time
    assert press("Escape") == ("layers", "all", "10 of 10 trials")
    assert press("ArrowRight") == ("lr", "all", "10 of 10 trials")
    assert press("ArrowRight", "ArrowRight") == ("momentum", "all", "10 of 10 trials")
    assert press("ArrowUp") == ("momentum", "0 to 1", "5 of 10 trials")  # less those in which it is inactive
    assert press("ArrowUp", "ArrowUp", "ArrowUp") == ("momentum", "0.15 to 1", "4 of 10 trials")
    assert press("Shift+ArrowDown") == ("momentum", "0.1 to 1", "5 of 10 trials")
    dimmed = "document.getElementById('front-plot').data.flatMap(t => t.selectedpoints ?? []).length"
    assert page.evaluate(dimmed) == 5  # the front shows the same ones
    assert press("Escape") == ("momentum", "all", "10 of 10 trials")
    assert press(*["ArrowDown"] * 20) == ("momentum", "inactive", "5 of 10 trials")
    assert press("Escape") == ("momentum", "all", "10 of 10 trials")
    assert press("ArrowLeft", "ArrowDown") == ("optimizer", "sgd", "5 of 10 trials")
    assert press("ArrowDown") == ("optimizer", "sgd", "5 of 10 trials")  # one choice is left at least
    assert press("Shift+ArrowUp") == ("optimizer", "all", "10 of 10 trials")
    assert press("End") == ("parameters", "all", "10 of 10 trials")
    assert page.locator("#parallel .grip[tabindex='0']").count() == 1
    assert press("Tab")[0] != "val_error"  # one stop for all axes


@pytest.mark.slow
def test_light_and_dark(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    page = open_page(hostile_search(tmp_path).report(tmp_path / "page.html").as_uri())
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.locator("nav button").click()
    assert page.evaluate(ground) != before
    assert draw_all(page) == set(SECTIONS)


@pytest.mark.slow
def test_a_served_page_follows_the_search(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    first, second = (
        {**contents_of(hostile_search(tmp_path, n=n)), "written": f"2026-01-01T00:00:{n}+00:00"} for n in (20, 24)
    )

    class Server(ReportServer):
        shown = first

        def answer(self, path: str) -> tuple[str, str, str] | None:
            if path == "/":
                return "text/html", report_page(self.shown, watch=self.every), self.shown["written"]
            text = inert_json(self.shown)
            return ("application/json", text, self.shown["written"]) if path == "/data.json" else None

    with Server(tmp_path, every=0.1) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        page = open_page(server.address)
        page.locator("#live", has_text="follows").wait_for()
        assert page.locator(".figure", has_text="trials").locator("b").inner_text() == "20"
        server.shown = second
        page.locator(".figure", has_text="trials").locator("b", has_text="24").wait_for()
        page.close()
        server.shutdown()
        thread.join()


def contents_of(result: Result) -> dict[str, Any]:
    from lightning_primo.results.report import report_contents

    return report_contents(result, **result.reported)


@pytest.mark.slow
def test_a_thousand_trials(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    page = open_page(hostile_search(tmp_path, n=1000).report(tmp_path / "page.html").as_uri())
    assert draw_all(page) == set(SECTIONS)


@pytest.mark.slow
def test_units_are_as_people_read_them(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    result = hostile_search(tmp_path)
    told = contents_of(result)
    named = zip(told["objectives"], ("share", "count", "seconds", "bytes"), strict=True)
    told["objectives"] = [{**one, "unit": unit} for one, unit in named]
    told["trials"] = [
        {**trial, "values": [0.0784, 1_234_567, 0.0123, 4.5e6], "spreads": [0.005, None, 0.0005, None]}
        for trial in told["trials"]
    ]
    (tmp_path / "page.html").write_text(report_page(told))
    page = open_page((tmp_path / "page.html").as_uri())
    row = page.locator("#table tbody tr").first.inner_text()
    assert all(text in row for text in ("7.84 ± 0.5 %", "1.23 M", "12.3 ± 0.5 ms", "4.5 MB"))


def test_on_paper_there_is_all_of_it_as_wide_as_a_page(tmp_path: Path, open_page: Callable[[str], Any]) -> None:
    page = open_page(hostile_search(tmp_path).report(tmp_path / "page.html").as_uri())
    page.emulate_media(color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert set(page.locator("body").get_attribute("data-drawn").split()) == set(SECTIONS)
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    edge = "[...document.querySelectorAll('#app, #app *')].map(e => Math.ceil(e.getBoundingClientRect().right))"
    assert page.evaluate(f"Math.max(...{edge}) - {edge}[0]") <= 0  # nothing reaches beyond the page
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(ground) == dark
    assert page.evaluate("document.getElementById('app').clientWidth") > 720
