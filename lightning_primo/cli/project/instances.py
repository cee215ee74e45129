"""Model, data and Trainer arguments of a trial, made by the project's own LightningCLI from a config."""

from __future__ import annotations

import argparse
import copy
import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, _get_module_type, _InstantiatorFn

from lightning_primo.cli.messages import one_line
from lightning_primo.cli.project.given_config import FIT, as_given
from lightning_primo.cli.project.script import PLAIN, Construction
from lightning_primo.cli.project.trainer_config import defaults_of_trainer, describes_object
from lightning_primo.cli.torch_types import register_torch_types
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.namespaces import has_other_name, in_other_name

Part = Literal["model", "data", "trainer"]
PARTS: frozenset[Part] = frozenset({"model", "data", "trainer"})

_BY = "_instantiator"
"""Where the hyperparameters of a checkpoint say what makes a module of them."""

_READINGS_KEPT = 2  # with the Trainer's callbacks and loggers, and without


class _RecordingParser(LightningArgumentParser):
    """Remembers the links, as keys and when they are applied."""

    def link_arguments(self, source: Any, target: str, *args: Any, **kwargs: Any) -> Any:
        keys = (*([source] if isinstance(source, str) else source), target)
        late = "instantiate" in (*args, kwargs.get("apply_on"))
        vars(self).setdefault("recorded_links", []).append((keys, late))
        return super().link_arguments(source, target, *args, **kwargs)


class Instances(LightningCLI):
    """The project's LightningCLI, which is mixed in behind this, without its training: nothing is run or seeded.

    A config is parsed and checked by the project's parser; model and data are made with its links, its optimizers and
    its hooks; in place of a Trainer come the arguments that it would have been given.
    """

    _wanted: frozenset[Part] = frozenset()
    _parts_apart: bool = True
    _notes_hyperparameters: bool = True
    _keeps_config: bool = True
    _has_script: bool = True
    _readings: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, construction: Construction, arguments: Sequence[str] | Mapping[str, Any]) -> Instances:
        """Make the parser of a LightningCLI, and read a config with it.

        Args:
            construction: How the project constructs its LightningCLI.
            arguments: The configs' files, or a config as a mapping. Where there are no files, what the project itself
                gives its LightningCLI as ``args`` is read.

        Raises:
            InvalidArgumentError: If the config does not fit the parser, or is of another subcommand than ``fit``.
        """
        own = construction.cls
        kind: type[Instances] = cls
        if own is not LightningCLI:
            kind = type(own.__name__, (cls, own), {"__module__": own.__module__})
        made = kind.__new__(kind)
        vars(made).update(construction.attributes)
        made._readings = {}
        made._has_script = construction is not PLAIN
        given = construction.arguments
        parser_class = given.get("parser_class", LightningArgumentParser)
        runs = bool(given.get("run", True))
        options = {
            **given,
            "parser_class": type(parser_class.__name__, (_RecordingParser, parser_class), {}),
            "save_config_callback": None,
            "load_from_checkpoint_support": True,  # here for its instantiators, see `_Instantiator`
            "args": (None if arguments else given.get("args")) or as_given(arguments, runs),
        }
        register_torch_types()
        try:
            LightningCLI.__init__(made, **options)
        except argparse.ArgumentError as error:
            raise InvalidArgumentError(one_line(error)) from error
        if made.subcommand not in (None, FIT):
            raise InvalidArgumentError(
                f"'config' names no file, and the 'args' that {own.__name__} is given are of its subcommand "
                f"{made.subcommand!r}, not of {FIT!r}; give the project's config"
            )
        made.trainer_class = dict  # type: ignore[assignment]
        made._notes_hyperparameters = bool(given.get("load_from_checkpoint_support", True))
        made._keeps_config = own.before_instantiate_classes is LightningCLI.before_instantiate_classes
        made._parts_apart = not made._late_links() and all(
            getattr(own, hook) is getattr(LightningCLI, hook)
            for hook in ("instantiate_classes", "after_instantiate_classes")
        )
        return made

    @property
    def base(self) -> dict[str, Any]:
        """The config that was read first, defaults included."""
        return self._dumped(self.config, links=False)

    @property
    def other_name(self) -> bool:
        """Whether the project has Lightning as ``pytorch_lightning``, once a config of its was read."""
        return has_other_name("cli" if self._has_script else "")

    @property
    def links(self) -> list[tuple[tuple[str, ...], bool]]:
        """Of the parser: the keys, the target last, and whether they are applied when classes are made."""
        return list(vars(self._parser(self.subcommand)).get("recorded_links", ()))

    @property
    def automatic(self) -> tuple[list[str], list[str]]:
        """Where the config has the optimizer and the schedule of which LightningCLI makes `configure_optimizers`."""
        parser = self._parser(self.subcommand)
        of_optimizers, of_schedules = (
            [key for key, (_, to) in known.items() if to == "AUTOMATIC" and self.auto_configure_optimizers]
            for known in (parser._optimizers, parser._lr_schedulers)
        )
        return of_optimizers, of_schedules

    @property
    def interpolates(self) -> bool:
        """Whether the parser reads ``${...}`` in configs."""
        return self._parser(self.subcommand).parser_mode.startswith("omegaconf")

    @property
    def callback_keys(self) -> list[str]:
        """Where the config has callbacks that the project's LightningCLI adds."""
        return list(self._parser(self.subcommand).callback_keys)

    def resolved(self, config: Mapping[str, Any], *, links: bool = False) -> dict[str, Any]:
        """A config as the parser understands it, with the defaults of what it leaves out.

        Args:
            config: The config, nested.
            links: Whether to include what the parser's links set, which a config file must not hold.

        Raises:
            InvalidArgumentError: If it does not fit the parser.
        """
        before = dict(vars(self))
        try:
            self._read(config)
            return self._dumped(self.config, links=links)
        finally:
            self._restore(before)

    def build(self, config: Mapping[str, Any], wanted: frozenset[Part]) -> dict[Part, Any]:
        """Make parts of what a config describes, each as LightningCLI would.

        Args:
            config: The config, nested.
            wanted: The parts to make; others are made with them where the project's links or hooks may need them.

        Returns:
            The parts: a module, a data module or None, and the Trainer's arguments.
        """
        before = dict(vars(self))
        self._wanted = wanted if self._parts_apart else wanted | {"model", "data"}
        try:
            read = self._read(config if "trainer" in self._wanted else self._without_trainer_objects(config))
            self.before_instantiate_classes()
            self.instantiate_classes()
            self.after_instantiate_classes()
            if self._keeps_config and "config_dump" in vars(self):
                read.setdefault("config_dump", copy.deepcopy(self.config_dump))
            return {"model": self.model, "data": self.datamodule, "trainer": self.trainer}
        finally:
            self._restore(before)

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """The project's parser, which raises its errors."""
        parser = super().init_parser(**kwargs)
        parser.exit_on_error = False
        return parser

    def before_instantiate_classes(self) -> None:
        """The project's hook; not while only the parser is made."""
        if self._wanted:
            super().before_instantiate_classes()

    def instantiate_classes(self) -> None:
        """The project's classes; none while only the parser is made."""
        if self._wanted:
            super().instantiate_classes()

    def after_instantiate_classes(self) -> None:
        """The project's hook; not while only the parser is made."""
        if self._wanted:
            super().after_instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """The Trainer's arguments, in a dict; None where they are not wanted."""
        return super().instantiate_trainer(**kwargs) if "trainer" in self._wanted else None

    def _parse_ckpt_path(self) -> None:
        """Trials start from their own weights, so no checkpoint changes the config."""

    def _set_seed(self) -> None:
        """The search seeds its trials."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing is run."""

    def _add_configure_optimizers_method_to_model(self, subcommand: str | None) -> None:
        if self.model is not None:
            super()._add_configure_optimizers_method_to_model(subcommand)

    def _add_instantiators(self) -> None:
        inherited: Any = super()._add_instantiators
        if inherited.__func__ is not LightningCLI._add_instantiators:
            inherited()  # the project's own, which may leave hyperparameters to its modules; with it all parts are made
            return
        for key, made, subclasses in (
            ("model", self._model_class, self.subclass_mode_model),
            ("data", self._datamodule_class, self.subclass_mode_data),
        ):
            self.parser.add_instantiator(_Instantiator(self, key), _get_module_type(made), subclasses=subclasses)

    def _read(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Parse `config`, unless it is one of the last, as the parts of a trial are made one after the other.

        Returns:
            What the next to read it is given.
        """
        key = repr(config)  # tells 1 from 1.0 and from True, as the parser does
        if key not in self._readings:
            before = dict(vars(self))
            try:
                self.parse_arguments(self.parser, as_given(config, self.subcommand is not None))
            except argparse.ArgumentError as error:
                raise InvalidArgumentError(one_line(error)) from error
            while len(self._readings) >= _READINGS_KEPT:
                del self._readings[next(iter(self._readings))]
            self._readings[key] = {name: value for name, value in vars(self).items() if value is not before.get(name)}
        read = self._readings[key]
        vars(self).update(read)
        self.config = self.config.clone()  # the project's hooks may change it
        if "config_dump" in read:
            self.config_dump = copy.deepcopy(read["config_dump"])
        return read

    def _dumped(self, config: Namespace, *, links: bool) -> dict[str, Any]:
        dump = self.parser.dump
        # Entries that are None are kept, as a default may be something else; the name of the option has changed.
        option = "skip_unset" if "skip_unset" in inspect.signature(dump).parameters else "skip_none"
        # What was read was validated then.
        options = {option: False, "skip_validation": True, "skip_link_targets": not links}
        text = dump(config, format="json", **options)
        dumped: dict[str, Any] = json.loads(text)
        return dumped if self.subcommand is None else dumped[self.subcommand]

    def _restore(self, before: dict[str, Any]) -> None:
        vars(self).clear()
        vars(self).update(before)

    def _late_links(self) -> bool:
        return any(late for _, late in self.links)

    def _without_trainer_objects(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """`config` without the callbacks, loggers and so on, which are no part of the model, but with all numbers.

        In their place are Lightning's defaults: what is left out is what the project's default config files say.
        """
        linked = {key.split(".")[1] for keys, _ in self.links for key in keys if key.startswith("trainer.")}
        defaults = defaults_of_trainer()
        trainer = {
            name: defaults.get(name) if name not in linked and describes_object(value) else value
            for name, value in (config.get("trainer") or {}).items()
        }
        return {**config, "trainer": trainer}


class _Instantiator(_InstantiatorFn):
    """Makes the parts that are wanted; LightningCLI's own also notes their hyperparameters in checkpoints."""

    cli: Instances

    def __call__(self, class_type: type, *args: Any, applied_instantiation_links: dict[str, Any], **kwargs: Any) -> Any:
        if self.key not in self.cli._wanted:
            return None
        if not self.cli._notes_hyperparameters:
            return class_type(*args, **kwargs)
        made: Any = super().__call__(
            class_type, *args, applied_instantiation_links=applied_instantiation_links, **kwargs
        )
        if self.cli.other_name and _BY in made.hparams:
            made.hparams[_BY] = in_other_name(made.hparams[_BY])  # the one that load_from_checkpoint trusts there
        return made
