"""The searches of docs/gallery.md: their reports, and a picture of each: ``make gallery``.

The reports, of 2 MB each, go to ``docs/gallery/``, which git ignores and the site takes up if it is there; the pictures
are kept.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from datamodules import Digits
from lightning_primo import FLOPs, Metric, ParameterCount, PeakMemory, Search, read_result
from models import ConvNetClassifier, conv_net_space
from recipes import digits

DOCS = Path(__file__).parent
RUNS = DOCS.parent / "runs/gallery"
CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser"]

SECTIONS = {"priors": ["front", "priors"], "four-objectives": ["front", "parallel"], "lineage": ["lineage"]}
"""By name of the search, what of its report is in its picture."""


def search_with_priors(directory: Path) -> None:
    """The digits with a prior per objective, in the default size of the recipe."""
    digits.main(["--quiet", "--directory", str(directory)])


def search_four_objectives(directory: Path) -> None:
    """Error, size, compute and memory of networks for the digits."""
    search = Search(
        conv_net_space(
            max_conv=2,
            min_filters=4,
            max_filters=64,
            max_fc=2,
            max_neurons=64,
            min_batch_size=32,
            max_batch_size=128,
            min_lr=1e-3,
            max_lr=1e-1,
        ),
        module=lambda config: ConvNetClassifier(**config, in_channels=1, image_size=8, n_classes=10),
        datamodule=lambda config: Digits(batch_size=config["batch_size"]),
        objectives=[Metric("val_error", mode="min", reference=0.5), ParameterCount(), FLOPs(), PeakMemory()],
        epochs=(1, 9),
        directory=directory,
    )
    search.run(full_trainings=16, progress=False)


def search_by_growing(directory: Path) -> None:
    """Networks that grow and shrink, by BULK & CUT."""
    arguments = ["--algorithm", "bulk-and-cut", "--full-trainings", "16", "--epochs", "1", "9"]
    digits.main([*arguments, "--quiet", "--directory", str(directory)])


SEARCHES = {
    "priors": search_with_priors,
    "four-objectives": search_four_objectives,
    "lineage": search_by_growing,
}


def take_picture(report: Path, sections: list[str], target: Path, *, chromium: str) -> None:
    """Picture parts of a report as a browser draws them, side by side as the page has them, or below each other."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.goto(report.resolve().as_uri())
        page.wait_for_selector("body[data-ready=yes]")
        for section in sections:
            page.locator(f"section#{section}").scroll_into_view_if_needed()
            page.wait_for_selector(f"body[data-drawn~={section}]")
        page.add_style_tag(
            content=f"section:not({_any_of(sections)}), pre.command {{ display: none }}"
        )  # it has a path
        page.evaluate("window.scrollTo(0, 0)")
        page.screenshot(path=target, full_page=True)
        browser.close()


def _any_of(sections: list[str]) -> str:
    return ", ".join(f"#{section}" for section in sections)


def main() -> None:
    """Search what is not there yet, write the reports and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SEARCHES)} (default: all)")
    names = parser.parse_args().names or list(SEARCHES)
    if unknown := sorted({*names} - {*SEARCHES}):
        parser.error(f"unknown search {unknown[0]!r}; valid choices: {', '.join(SEARCHES)}")
    chromium = next((path for path in map(shutil.which, CHROMIUM) if path), None)
    if chromium is None:
        sys.exit("there is no Chromium to take pictures with: apt install chromium")
    for name in names:
        directory, picture = RUNS / name, DOCS / f"images/gallery-{name}.png"
        report = DOCS / f"gallery/report-{name}.html"
        SEARCHES[name](directory)
        report.parent.mkdir(exist_ok=True)
        read_result(directory).report(report)
        take_picture(report, SECTIONS[name], picture, chromium=chromium)
        print(f"{report}\n{picture}")


if __name__ == "__main__":
    main()
