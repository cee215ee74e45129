"""The command ``lightning-primo``: its subcommands, and how their errors are told."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

COMMANDS = {
    "search": "search the hyperparameters of an existing LightningCLI project",
    "status": "say how far a search is",
    "front": "show the Pareto front of a search as a table",
    "report": "write all that is known of a search as one page, or serve it while it runs",
    "plot": "draw the front, and the hypervolume over the cost",
    "export": "write the networks of the front as plain files",
    "remeasure": "measure the front's latencies in turn: which networks are quicker for sure",
    "measure": "parameters, FLOPs, memory and latency of one model on this machine",
    "serve": "measure networks on this device for searches that run elsewhere",
    "add": "let a search that runs try a configuration of yours",
    "stop": "end a trial of a search that runs",
    "new": "make a small project to begin with, and its search",
    "recipe": "launch one of the searches that come with the package",
}
"""The subcommands, each a module of this package with `parser` and `run`."""

_READ = ("status", "front")  # whose output is long, and often only looked at

FAILED, WRONG, STOPPED = 1, 2, 130
"""Exit codes: something failed; the command, a config or a search file is wrong; Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Default: those of this process.

    Returns:
        The exit code: 0; 1 if what was asked for failed; 2 for a wrong command, config or search file; 130 after
        Ctrl-C, after which the same command goes on.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(_help(), file=sys.stdout if given else sys.stderr)
        return 0 if given else WRONG
    if given[0] == "--version":
        from lightning_primo import __version__

        print(__version__)
        return 0
    name, *rest = given
    if name not in COMMANDS:
        return _tell("", f"unknown command {name!r}; valid choices: {', '.join(COMMANDS)}", WRONG)
    return _carry_out(name, rest)


def _carry_out(name: str, arguments: Sequence[str]) -> int:
    from lightning_primo.cli.messages import one_line
    from lightning_primo.cli.output import to_a_reader
    from lightning_primo.errors import InvalidArgumentError, PrimoError, SearchMismatchError

    try:
        module: Any = importlib.import_module(f"lightning_primo.cli.commands.{name}")
        parser = module.parser()
        parser.prog = f"lightning-primo {name}"
        if hasattr(parser, "parse_object"):  # one of jsonargparse, which serve does without
            from lightning_primo.cli.help_format import HelpFormatter

            parser.formatter_class = HelpFormatter
        parser.exit_on_error = False
        options = _parsed(parser, arguments)
        run: Callable[[Any], int] = module.run
        with to_a_reader() if name in _READ else nullcontext():  # others may have broken pipes of another kind
            return run(options)
        return FAILED  # as Rich ends then
    except argparse.ArgumentError as error:
        return _tell(name, f"{one_line(error)}; see lightning-primo {name} --help", WRONG)
    except (InvalidArgumentError, SearchMismatchError) as error:
        return _tell(name, str(error), WRONG)
    except PrimoError as error:
        return _tell(name, str(error), FAILED)
    except SystemExit as end:  # of --help
        return end.code if isinstance(end.code, int) else FAILED if end.code else 0
    except KeyboardInterrupt:
        return _tell(name, "stopped by Ctrl-C", STOPPED)


def _parsed(parser: Any, arguments: Sequence[str]) -> Any:
    """The options; what the parser stumbles over, such as a number of thousands of digits, is refused as it does."""
    try:
        return parser.parse_args(arguments)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise argparse.ArgumentError(None, f"an argument cannot be read: {error}") from error


def _tell(command: str, message: str, code: int) -> int:
    from lightning_primo.cli.output import print_note

    print_note(f"lightning-primo{f' {command}' if command else ''}: {message}")
    return code


def _help() -> str:
    width = max(map(len, COMMANDS)) + 2
    commands = "\n".join(f"  {name:{width}}{what}" for name, what in COMMANDS.items())
    return (
        "usage: lightning-primo COMMAND [arguments]\n\n"
        "Multi-objective search of hyperparameters and architectures for PyTorch Lightning.\n\n"
        f"{commands}\n\nlightning-primo COMMAND --help says more. --version prints the version."
    )
