"""An existing LightningCLI project: its config, its script, and what they make of a trial's values."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import Logger

from lightning_primo.cli.project.config_changes import config_changes
from lightning_primo.cli.project.followers import followed, references_changed, with_followers
from lightning_primo.cli.project.given_config import refusal
from lightning_primo.cli.project.instances import Instances, Part
from lightning_primo.cli.project.overlay import class_names, class_paths, overlay, same_text
from lightning_primo.cli.project.own_config import as_the_project_reads_it
from lightning_primo.cli.project.service_loggers import loggers_of_trial
from lightning_primo.cli.project.trainer_config import heeded, not_heeded
from lightning_primo.cli.project.user_code import origin_of, user_code
from lightning_primo.cli.project.workplace import Workplace
from lightning_primo.errors import CorruptStoreError, InvalidArgumentError, SearchMismatchError
from lightning_primo.layout import project_file, write_atomically
from lightning_primo.measure.isolation import rng_kept
from lightning_primo.problem.trial import Config
from lightning_primo.training.loggers import SERVICES, listed


@dataclass(frozen=True, kw_only=True)
class Project:
    """A LightningModule, its data and its Trainer as the project's own LightningCLI makes them from a config.

    A project that arrives in another process by pickle stays active there (see `active`), as its trainings come after.

    Args:
        configs: The config's files, absolute.
        cli: The script or function that constructs the LightningCLI; None where the config names the classes.
        folder: Where the command was given, which relative paths start from.
        base: The merged config with its defaults.
        encoded: Keys whose values in a trial's configuration are JSON text.
        max_epochs: Epochs of a full training, which every config is given; None for what the config says.
        max_steps: Optimiser steps of a full training instead.
        classes: Of the class paths that the search lays over the config, those that name the class of another one, by
            which the config of a trial is written without importing any; see `class_names`.
        other_name: Whether the project has Lightning as ``pytorch_lightning``.
        follows: For entries that the files write as another one the key of that, whose value in a trial is theirs too.
    """

    configs: tuple[str, ...]
    cli: str | None
    folder: str
    base: Mapping[str, Any] = field(repr=False)
    encoded: tuple[str, ...] = ()
    max_epochs: int | None = None
    max_steps: int | None = None
    classes: Mapping[str, str] = field(default_factory=dict, repr=False)
    other_name: bool = False
    follows: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, configs: Sequence[str | Path], cli: str | None = None) -> Project:
        """Read the config of a project.

        Args:
            configs: The files; several are merged as by LightningCLI.
            cli: ``main.py``, ``main.py:function``, ``package.module`` or ``package.module:function``; None where the
                config names the classes of model and data.

        Raises:
            InvalidArgumentError: If a file is missing or does not fit the project's parser.
            ProjectError: If the project's script raises an exception.
        """
        files = tuple(str(Path(path).expanduser().absolute()) for path in configs)
        for path in files:
            if not Path(path).is_file():
                raise InvalidArgumentError(f"'config' names {path!r}, which is no file")
        if not files and cli is None:
            raise InvalidArgumentError("'config' names no file; give the project's config, or its script as 'cli'")
        unread = cls(configs=files, cli=cli, folder=str(Path.cwd()), base={})
        with unread.active(), rng_kept():
            try:
                prepared = unread._workplace.prepared
                with user_code("making the parser of the LightningCLI and reading the config with it"):
                    prepared.instances = Instances.of(prepared.construction, files)
                    base = prepared.instances.base
            except InvalidArgumentError as error:
                raise InvalidArgumentError(refusal(error, files, cli)) from error
        # As it comes back from the search's directory.
        read = json.loads(json.dumps(base, default=str))
        follows = followed(read, files, interpolates=prepared.instances.interpolates)
        return replace(unread, base=read, other_name=prepared.instances.other_name, follows=follows)

    @classmethod
    def of_search(cls, directory: str | Path) -> Project | None:
        """The project that a search of the command line was made over; None for other searches.

        Nothing of it is run or imported by this, nor by `config_file`; whatever else is asked of it runs its code.

        Raises:
            CorruptStoreError: If what the search wrote about it cannot be read.
        """
        path = project_file(Path(directory))
        if not path.is_file():
            return None
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if not (isinstance(stored["base"], dict) and isinstance(stored["classes"], dict)):
                raise TypeError("'base' and 'classes' must be mappings")
            return cls(**{**stored, "configs": tuple(stored["configs"]), "encoded": tuple(stored["encoded"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CorruptStoreError(f"{str(path)!r} is damaged ({type(error).__name__}: {error})") from error

    def for_search(
        self,
        *,
        encoded: Sequence[str],
        max_epochs: int | None = None,
        max_steps: int | None = None,
        choices: Mapping[str, Sequence[Any]] | None = None,
    ) -> Project:
        """The project as a search uses it.

        Args:
            encoded: As for the class.
            max_epochs: As for the class.
            max_steps: As for the class.
            choices: What the search may lay over the config at keys that have choices; nothing by default.
        """
        classes: dict[str, str] = {}
        if any(class_paths(choices)):
            with self.active(), rng_kept():
                classes = class_names(self.base, choices)
        return replace(self, encoded=tuple(encoded), max_epochs=max_epochs, max_steps=max_steps, classes=classes)

    def write(self, directory: Path, *, anew: bool = False) -> None:
        """Note the project in a search's directory, so that commands find it there.

        Args:
            directory: The search's.
            anew: Whether the search is yet to begin, so that it does not matter what was noted before.

        Raises:
            SearchMismatchError: If the directory holds a search over the project with another config.
        """
        known = None if anew else Project.of_search(directory)
        if known is not None:
            self.check_same(known, directory)
        directory.mkdir(parents=True, exist_ok=True)
        write_atomically(project_file(directory), json.dumps(asdict(self), indent=2) + "\n")

    def check_same(self, known: Project, directory: Path) -> None:
        """Raise a SearchMismatchError if this is not the project `known` that was searched over in `directory`."""
        changed = config_changes(known.base, self.base) or references_changed(known.follows, self.follows)
        if changed:
            raise SearchMismatchError(
                f"{str(directory)!r} holds a search over the project with another config: {changed}; undo the "
                "change, or give another 'directory'"
            )

    def module(self, config: Config) -> pl.LightningModule:
        """The project's model with a trial's values.

        Args:
            config: Values by dotted key; what is not there is as in the project's config.
        """
        module: pl.LightningModule = self._build(self._laid_over(config), "model")
        return module

    def data(self, config: Config) -> pl.LightningDataModule | None:
        """The project's data with a trial's values; None if it has no data module.

        Args:
            config: As for `module`.
        """
        data: pl.LightningDataModule | None = self._build(self._laid_over(config), "data")
        return data

    def trainer(self, config: Config) -> dict[str, Any]:
        """The arguments of a trial's Trainer, callbacks and loggers made; without what a search sets itself.

        What is at Lightning's default is left out, so that the search's own defaults hold. Loggers of services come as
        a function that makes those of a trial.

        Args:
            config: As for `module`.
        """
        with rng_kept():
            arguments = self._build(self._laid_over(config), "trainer")
        kinds = [type(item) for item in listed(arguments.get("logger"))]
        if any(issubclass(kind, SERVICES) for kind in kinds):
            arguments["logger"] = functools.partial(self._loggers, config, kinds)
        if self.max_steps is not None:
            del arguments["max_steps"]
        return heeded(arguments)

    def resolved(self, config: Config, *, links: bool = False) -> dict[str, Any]:
        """The config with a trial's values, which ``fit`` of the project's own LightningCLI runs as it is.

        Args:
            config: As for `module`.
            links: Whether to include what the parser's links set, which a config file must not hold.

        Raises:
            InvalidArgumentError: If the project's parser refuses it.
        """
        with self.active():
            resolved = self._instances().resolved(self._laid_over(config), links=links)
        return as_the_project_reads_it(resolved, other_name=False)  # here Lightning has one name

    def config_file(self, config: Config) -> dict[str, Any]:
        """The same as a plain text may say it: made by none of the project's code, and so checked by none.

        Arguments of a class that is searched over stand in it only where they are searched over too.

        Args:
            config: As for `module`.

        Raises:
            InvalidArgumentError: For a position that a list of the config does not have.
        """
        laid_over = self._laid_over(config, same=functools.partial(same_text, names=self.classes))
        return as_the_project_reads_it(laid_over, other_name=self.other_name)

    @property
    def seed(self) -> int | None:
        """The seed in the config; None where it has none."""
        seed = self.base.get("seed_everything")
        return seed if isinstance(seed, int) and not isinstance(seed, bool) else None

    @property
    def left_out(self) -> list[str]:
        """What the config sets and a search does not heed, as dotted keys."""
        unheeded = not_heeded(self.base.get("trainer") or {})
        own = (("max_epochs", self.max_epochs), ("max_steps", self.max_steps))
        keys = [f"trainer.{name}" for name, value in unheeded.items() if (name, value) not in own]
        return [*keys, *(["ckpt_path"] if self.base.get("ckpt_path") is not None else [])]

    def active(self) -> AbstractContextManager[None]:
        """While it lasts the process is as if the project's script had been started in the project's folder.

        All methods enter it; enter it for what comes after them, such as setting up the data.
        """
        return self._workplace.active()

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, ({name: getattr(self, name) for name in self.__dataclass_fields__},)

    def __deepcopy__(self, memo: dict[int, Any]) -> Project:
        return self  # nothing of it changes

    @property
    def _workplace(self) -> Workplace:
        return Workplace(self.cli, self.folder)

    def _instances(self) -> Instances:
        prepared = self._workplace.prepared
        if prepared.instances is None:
            with rng_kept():
                prepared.instances = Instances.of(prepared.construction, self.base)
        return prepared.instances

    def _build(self, config: Mapping[str, Any], part: Part) -> Any:
        with self.active():
            try:
                return self._instances().build(config, frozenset({part}))[part]
            except Exception as error:
                origin = origin_of(error)
                if origin is error:
                    raise
        raise origin  # a parser has turned it into a refusal of the value

    def _loggers(self, config: Config, kinds: Sequence[type], directory: Path) -> list[Logger]:
        with rng_kept():
            return loggers_of_trial(
                self._laid_over(config), kinds, directory, lambda config: self._build(config, "trainer")["logger"]
            )

    def _laid_over(self, config: Config, *, same: Callable[[object, object], bool] | None = None) -> dict[str, Any]:
        values: dict[str, Any] = {key: json.loads(str(v)) if key in self.encoded else v for key, v in config.items()}
        if self.max_epochs is not None:
            values["trainer.max_epochs"] = self.max_epochs
        if self.max_steps is not None:
            values |= {"trainer.max_epochs": -1, "trainer.max_steps": self.max_steps}
        return overlay(self.base, with_followers(values, self.follows, self.base, same=same), same=same)


def _arrived(fields: dict[str, Any]) -> Project:
    """A project that comes by pickle: in a process where it is not active, it stays so from now on."""
    project = Project(**fields)
    Workplace(project.cli, project.folder).stay()
    return project
