"""The option ``--search FILE``: its entries become options, and what cannot is told with the file's name."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import jsonargparse

from lightning_primo.checks import check_path, shown
from lightning_primo.cli.messages import one_line
from lightning_primo.cli.search_file.strict_yaml import load
from lightning_primo.errors import InvalidArgumentError


class SearchFileAction(jsonargparse.ActionConfigFile):  # type: ignore[misc, name-defined]
    """Reads a search file."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        """Read the file that is named on the command line.

        Raises:
            ArgumentError: If there is no such file, it is no YAML, or has entries that are no options.
        """
        try:
            path = check_path("--search", str(values), example="search.yaml")
            entries = load(path.read_text(encoding="utf-8"))
        except InvalidArgumentError as error:
            raise argparse.ArgumentError(self, str(error)) from error
        except OSError as error:
            raise argparse.ArgumentError(self, f"{values}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise argparse.ArgumentError(self, f"{path.name} is no YAML: {one_line(error)}") from error
        except ValueError as error:
            raise argparse.ArgumentError(self, f"{path.name} {one_line(error)}") from error
        if not isinstance(entries, Mapping):
            raise argparse.ArgumentError(
                self, f"{path.name} must hold entries such as 'space: …', got {shown(entries)}"
            )
        defaults = parser.get_defaults().as_dict()
        valid = [name for name in defaults if name not in ("config", self.dest, "only_print", "quiet")]
        for name in entries:
            if name not in valid:
                choices = ", ".join(map(repr, valid))
                raise argparse.ArgumentError(self, f"{path.name}: unknown entry {name!r}; valid choices: {choices}")
            if isinstance(defaults[name], Mapping) and not isinstance(entries[name], Mapping):
                inner = next(iter(defaults[name]))
                raise argparse.ArgumentError(
                    self,
                    f"{path.name}: {name!r} must hold entries such as {{{inner}: 20}}, got {shown(entries[name])}",
                )
        super().__call__(parser, cfg, values, option_string)
