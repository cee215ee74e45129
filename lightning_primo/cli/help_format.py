"""How ``--help`` of a command describes its arguments."""

from __future__ import annotations

import argparse

from jsonargparse import DefaultHelpFormatter
from typing_extensions import override


class HelpFormatter(DefaultHelpFormatter):
    """What an argument is for, and a default that says something; no names of Python's types."""

    @override
    def _get_help_string(self, action: argparse.Action) -> str:
        said = action.help or ""
        # Older releases of jsonargparse take argparse's mark away, and set one of their own.
        if (action.required or getattr(action, "_required", False)) and action.option_strings:
            return f"{said} (required)"
        silent = action.default is None or action.default is False or action.default == argparse.SUPPRESS
        return said if silent or "default" in said else f"{said} (default: %(default)s)"
