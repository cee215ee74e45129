"""How a project's own script constructs its LightningCLI: the script is run up to that point, and no further."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.cli import LightningCLI

from lightning_primo.cli.project.user_code import user_code
from lightning_primo.errors import InvalidArgumentError

MAIN = "__main__"


@dataclass(frozen=True)
class Construction:
    """A LightningCLI that a script was about to construct.

    Args:
        cls: `LightningCLI` or the project's own subclass of it.
        attributes: What the subclass had set on the instance before it called LightningCLI's constructor.
        arguments: Of that constructor, by name.
    """

    cls: type[LightningCLI]
    attributes: dict[str, Any]
    arguments: dict[str, Any]


PLAIN = Construction(cls=LightningCLI, attributes={}, arguments={})
"""What ``LightningCLI()`` is: model and data by ``class_path`` in the config."""


@dataclass(frozen=True)
class Script:
    """Where a project constructs its LightningCLI.

    Args:
        path: The script's file; None for a module that is known by its name.
        module: The module's name; for a file its stem.
        function: The function that constructs it; None where running the file or module does.
    """

    path: Path | None
    module: str
    function: str | None

    @classmethod
    def of(cls, text: str, folder: Path) -> Script:
        """The script meant by ``main.py``, ``main.py:function``, ``package.module`` or ``package.module:function``.

        Args:
            text: As in a search file.
            folder: What a relative path starts from.

        Raises:
            InvalidArgumentError: If it is none of these, or there is no such file.
        """
        place, colon, function = text.rpartition(":")
        if not colon or not function.isidentifier():
            place, function = text, ""
        if place.endswith(".py"):
            path = (folder / Path(place).expanduser()).absolute()
            if not path.is_file():
                raise InvalidArgumentError(f"'cli' names the script {place!r}, but there is no file {str(path)!r}")
            return cls(path, path.stem, function or None)
        if not all(part.isidentifier() for part in place.split(".")):
            raise InvalidArgumentError(
                "'cli' must name the script that constructs the LightningCLI, such as 'main.py', 'main.py:function' "
                f"or 'package.module:function', got {text!r}"
            )
        return cls(None, place, function or None)

    def construction(self) -> tuple[Construction, types.ModuleType | None]:
        """Run the script up to where it constructs its LightningCLI.

        Returns:
            The construction, and the module ``__main__`` where the script was run as that.

        Raises:
            ProjectError: If the script raises an exception.
            InvalidArgumentError: If it ends without constructing one.
        """
        name = self.path.name if self.path else self.module
        main = types.ModuleType(MAIN) if self.function is None else None
        with user_code(f"running {name!r} up to its LightningCLI"), _stopped_at_construction() as found:
            try:
                if main is not None:
                    _run_as_main(self, main)
                else:
                    function: Any = _imported(self)
                    for part in str(self.function).split("."):
                        function = getattr(function, part)
                    function()
            except _Constructed:
                pass
        if not found:
            what = f"{self.function}() of {name!r}" if self.function else f"{name!r}, run as a script,"
            raise InvalidArgumentError(
                f"'cli': {what} constructs no LightningCLI; name the function that does, such as '{name}:cli_main'"
            )
        return found[0], main


class _Constructed(BaseException):
    """Leaves a script at the point where it constructs its LightningCLI."""


@contextmanager
def _stopped_at_construction() -> Iterator[list[Construction]]:
    """While it lasts, constructing a LightningCLI raises `_Constructed` and adds the construction to the list."""
    found: list[Construction] = []
    original = LightningCLI.__init__

    def stop(self: LightningCLI, *args: Any, **kwargs: Any) -> None:
        arguments = dict(inspect.signature(original).bind(self, *args, **kwargs).arguments)
        del arguments["self"]
        cls = type(self)
        found.append(Construction(cls, dict(vars(self)), arguments))
        raise _Constructed

    LightningCLI.__init__ = stop  # type: ignore[method-assign]
    try:
        yield found
    finally:
        LightningCLI.__init__ = original  # type: ignore[method-assign]


def _run_as_main(script: Script, main: types.ModuleType) -> None:
    """Run a script as ``python path`` or ``python -m module`` would: inside, `main` is the module ``__main__``."""
    path = script.path
    if path is None:
        spec = importlib.util.find_spec(script.module)
        if spec is None or spec.origin is None:
            raise InvalidArgumentError(f"'cli' names the module {script.module!r}, which cannot be found")
        path, main.__package__ = Path(spec.origin), spec.parent
    main.__file__ = str(path)
    before = sys.modules[MAIN]
    sys.modules[MAIN] = main
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), vars(main))
    finally:
        sys.modules[MAIN] = before


def _imported(script: Script) -> types.ModuleType:
    module = importlib.import_module(script.module)
    file = getattr(module, "__file__", None)
    if script.path is not None and (file is None or Path(file).absolute() != script.path):
        raise InvalidArgumentError(
            f"'cli' names {str(script.path)!r}, but the module {script.module!r} that is imported is {file!r}; rename "
            "the script"
        )
    return module
