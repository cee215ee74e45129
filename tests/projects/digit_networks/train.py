"""A command line of its own, with links and a hook; `python train.py fit --config config.yaml` trains."""

from __future__ import annotations

from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from networks import DigitNetwork

from digits import Digits  # isort: skip


class DigitCLI(LightningCLI):
    def __init__(self, name: str, **kwargs: object) -> None:
        self.name = name
        super().__init__(**kwargs)
        print(f"{self.name} has done {self.subcommand}")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--remark", type=str, default="none")
        parser.link_arguments("data.init_args.batch_size", "model.init_args.batch_size")
        parser.link_arguments("trainer.max_epochs", "model.init_args.total_epochs")
        parser.link_arguments("data.n_classes", "model.init_args.n_classes", apply_on="instantiate")

    def before_instantiate_classes(self) -> None:
        assert self.name == "digits"
        assert self._get(self.config, "remark")


def main() -> None:
    DigitCLI(
        "digits",
        model_class=DigitNetwork,
        datamodule_class=Digits,
        subclass_mode_model=True,
        subclass_mode_data=True,
        trainer_defaults={"enable_model_summary": False},
    )


if __name__ == "__main__":
    main()
