"""Sphinx builds the pages and the reference by this: `make docs`."""

from importlib.metadata import version as version_of
from pathlib import Path

project = "lightning_primo"
author = "the lightning_primo authors"
release = version = version_of("lightning-primo")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
exclude_patterns = ["_build"]
suppress_warnings = ["myst.xref_missing"]  # ARCHITECTURE.md and GLOSSARY.md name files of the repository

default_role = "code"  # names stand in single backticks
autodoc_default_options = {"members": True, "show-inheritance": True, "member-order": "bysource"}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "lightning_primo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = [name for name in ("gallery",) if (Path(__file__).parent / name).is_dir()]  # by `make gallery`
