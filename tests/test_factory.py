from __future__ import annotations

import functools
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.demos.mnist_datamodule import MNISTDataModule
from torch.utils.data import DataLoader

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.factory import Factory, Keywords, LoadersDataModule
from tests.tiny import Augmented, Data, Net

CONFIG = {"lr": 0.1, "width": 3, "batch_size": 2}


class Batched(pl.LightningDataModule):
    def __init__(self, batch_size: int = 4) -> None:
        super().__init__()
        self.batch_size = batch_size


class Forwarding(Net):
    def __init__(self, depth: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.depth = depth


class Reading(pl.LightningModule):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self.kwargs = kwargs


class Dropping(pl.LightningModule):
    """As many projects have it: called with all arguments of a program, it reads its own."""

    def __init__(self, lr: float = 0.1, **kwargs: Any) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.rates = [self.hparams.lr, self.hparams["momentum"], self.hparams.get("decay")]  # type: ignore[union-attr]


class DroppingAll(Net):
    def __init__(self, depth: int = 1, **kwargs: Any) -> None:
        super().__init__()


class Saving(pl.LightningModule):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = Net(**self.hparams)


class Framed(pl.LightningModule):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self.arguments = locals()


class Bare(pl.LightningModule):
    pass


class Positional(pl.LightningModule):
    def __init__(self, a: int, /, b: int, *args: Any, c: int = 1) -> None:
        super().__init__()


def test_classes_get_what_they_take_and_functions_everything() -> None:
    factory = Factory(Net, Batched)
    module, data = factory.module(CONFIG), factory.data(CONFIG)
    assert isinstance(module, Net)
    assert isinstance(data, Batched)
    assert (module.lr, module.net[0].out_features, module.behaviour, data.batch_size) == (0.1, 3, "", 2)
    seen: list[Any] = []
    Factory(lambda config: seen.append(config) or Net(), lambda config: seen.append(config)).data(CONFIG)  # type: ignore[func-returns-value]
    assert seen == [CONFIG]
    assert seen[0] is not CONFIG


def test_keywords_follow_inheritance() -> None:
    assert Keywords.of(Forwarding) == Keywords(("depth", "lr", "width", "behaviour"), ("depth",))
    assert Keywords.of(Reading).any
    assert Keywords.of(Bare) == Keywords((), ())
    assert Keywords.of(Positional) == Keywords(("b", "c"), ("b",))
    assert Keywords.of(functools.partial(Forwarding, depth=2)).required == ()
    assert Keywords.of(functools.partial(Forwarding, 2)).accepted == ("lr", "width", "behaviour")
    assert Factory(functools.partial(Forwarding, 2)).module({"lr": 0.5}).lr == 0.5
    assert Factory(Reading).module(CONFIG).kwargs == CONFIG


def test_collected_keywords_that_are_read_nowhere_are_not_taken() -> None:
    assert Keywords.of(Dropping) == Keywords(("lr", "decay", "momentum"), (), drops=True)
    assert Keywords.of(DroppingAll) == Keywords(("depth",), (), drops=True)
    assert Keywords.of(functools.partial(DroppingAll, 1)) == Keywords((), (), drops=True)
    assert Keywords.of(Saving).any
    assert Keywords.of(Framed).any
    Factory(Dropping).check(["lr", "momentum"])
    with pytest.raises(InvalidArgumentError, match=r"'learning_rate'.*Dropping takes 'lr', .* with other \*\*kwargs"):
        Factory(Dropping).check(["learning_rate"])
    with pytest.raises(InvalidArgumentError, match="'width'"):
        Factory(DroppingAll).check(["width"])


def test_collected_keywords_are_taken_where_the_source_does_not_say() -> None:
    def wrapper(self: Any, **kwargs: Any) -> None:
        vars(self).update(kwargs)
        init(self, **kwargs)

    init = Dropping.__init__
    wrapped = type("Wrapped", (Dropping,), {"__init__": functools.wraps(init)(wrapper)})
    assert Keywords.of(wrapped).any
    names: dict[str, Any] = {"pl": pl}
    exec("class Typed(pl.LightningModule):\n    def __init__(self, **rest): super().__init__()", names)
    assert Keywords.of(names["Typed"]).any


def test_names_are_checked_against_module_and_data_together() -> None:
    Factory(Net, Batched).check(["lr", "width", "batch_size"])
    Factory(Reading, Batched).check(["anything"])
    Factory(lambda config: Net()).check(["anything"])
    Factory(Net, lambda config: Batched()).check(["anything"])
    with pytest.raises(InvalidArgumentError, match=r"'momentum'.*Net takes 'lr', 'width', 'behaviour'; Batched takes"):
        Factory(Net, Batched).check(["lr", "momentum"])
    with pytest.raises(InvalidArgumentError, match="'batch_size'"):
        Factory(Net, Data()).check(["lr", "batch_size"])
    with pytest.raises(InvalidArgumentError, match=r"Forwarding requires 'depth'.*functools.partial"):
        Factory(Forwarding).check(["lr"])


def test_a_required_argument_that_is_inactive() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'depth'.*conditional"):
        Factory(Forwarding).module({"lr": 0.1})


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Net(), "Net instance"),
        (3, "got 3"),
        (torch.nn.Linear, "class Linear, which is not a lightning.pytorch.LightningModule"),
    ],
)
def test_bad_modules(module: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Factory(module)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, "got 3"),
        (Net, "class Net"),
        ({"training": []}, "'train'"),
        ({"train": [], "validation": []}, "'validation'"),
        ((), "0 items"),
        (([],) * 4, "4 items"),
    ],
)
def test_bad_data(data: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Factory(Net, data)


def _seeded(config: Any, *, seed: int) -> Data:
    return Data()


def test_functions_that_do_not_take_the_configuration() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'module' must take .*<lambda>\(\).*lambda config: <lambda>"):
        Factory(lambda: Net())
    with pytest.raises(InvalidArgumentError, match=r"'datamodule' must .* _seeded\(.*missing a required argument"):
        Factory(Net, _seeded)
    Factory(lambda *_: Net(), functools.partial(_seeded, seed=1))


def test_what_a_decorator_makes_of_a_function_takes_the_configuration() -> None:
    def with_config(function: Any) -> Any:
        @functools.wraps(function)
        def called(config: Any) -> Any:
            return function(**config)

        return called

    assert isinstance(Factory(with_config(lambda *, lr: Net(lr))).module({"lr": 0.5}), Net)


def test_wrong_return_types() -> None:
    factory = Factory(lambda config: torch.nn.Linear(1, 1), lambda config: 3)
    with pytest.raises(InvalidArgumentError, match="'module' returned a Linear"):
        factory.module({})
    with pytest.raises(InvalidArgumentError, match="'datamodule' returned a int"):
        factory.data({})


def test_a_module_of_the_other_package_is_told_so() -> None:
    foreign = type("Old", (), {"__module__": "pytorch_lightning.core"})
    with pytest.raises(InvalidArgumentError, match=r"import lightning\.pytorch instead"):
        Factory(lambda config: foreign()).module({})


@pytest.mark.parametrize("as_function", [False, True])
def test_plain_loaders(as_function: bool) -> None:
    train, val, test = (DataLoader(Augmented()) for _ in range(3))
    for given in ((train, val, test), {"train": train, "val": val, "test": test}):
        data = Factory(Net, (lambda config, given=given: given) if as_function else given).data({})
        assert isinstance(data, LoadersDataModule)
        assert data.train_dataloader() is train
        assert data.val_dataloader() is val
        assert data.test_dataloader() is test
    only = Factory(Net, train).data({})
    assert only is not None
    assert only.train_dataloader() is train


def test_an_instance_is_copied_per_trial_and_shares_its_data() -> None:
    given = Data()
    given.images = torch.zeros(3)  # type: ignore[attr-defined]
    factory = Factory(Net, given)
    one, two = factory.data({}), factory.data({})
    assert one is not two
    assert one is not given
    one.setup("fit")  # type: ignore[union-attr]
    assert (one.n_setups, two.n_setups, given.n_setups) == (1, 0, 0)  # type: ignore[union-attr]
    assert one.images is given.images  # type: ignore[union-attr, attr-defined]


def test_a_module_may_bring_its_own_data() -> None:
    assert Factory(Net).data({}) is None
    assert Factory(Net, lambda config: None).data({}) is None


def test_a_module_is_handed_out_once() -> None:
    module = Net()
    factory = Factory(lambda config: module)
    assert factory.module({}) is module
    with pytest.raises(InvalidArgumentError, match=r"'module' returned a Net that was returned before.*lambda config"):
        factory.module({})
    with pytest.raises(InvalidArgumentError, match="returned before"):
        Factory(lambda config: module).module({})


def test_layers_that_are_trained_are_not_shared_between_modules() -> None:
    backbone = torch.nn.Linear(2, 2)

    def build(config: dict[str, Any]) -> pl.LightningModule:
        module = pl.LightningModule()
        module.backbone = backbone
        return module

    backbone.requires_grad_(False)  # what is not trained may be
    factory = Factory(build)
    assert factory.module({}) is not factory.module({})
    backbone.requires_grad_(True)
    factory.module({})
    with pytest.raises(InvalidArgumentError, match=r"same parameter 'backbone\.weight'"):
        factory.module({})


def test_a_module_cannot_change_the_choices_of_the_space() -> None:
    config = {"sizes": [1, 2]}

    def build(config: dict[str, Any]) -> pl.LightningModule:
        config["sizes"].append(3)
        return pl.LightningModule()

    Factory(build).module(config)
    assert config == {"sizes": [1, 2]}


def test_classes_of_lightning_itself_take_their_arguments() -> None:
    expected = ("data_dir", "val_split", "num_workers", "normalize", "seed", "batch_size")
    assert Keywords.of(MNISTDataModule).accepted == expected
    Factory(BoringModel, MNISTDataModule).check(["batch_size"])
    with pytest.raises(InvalidArgumentError, match=r"BoringModel takes nothing; MNISTDataModule takes 'data_dir'"):
        Factory(BoringModel, MNISTDataModule).check(["batches"])


class LayersLater(pl.LightningModule):
    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.width = width

    def configure_model(self) -> None:
        self.layer = torch.nn.Linear(self.width, 1, device=self.device)


def test_a_module_made_under_the_device_meta_has_its_layers_on_the_cpu() -> None:
    def built(config: dict[str, Any]) -> pl.LightningModule:
        with torch.device("meta"):
            return LayersLater(config["width"])

    module = Factory(built).whole_module({"width": 3})
    assert module.device.type == module.layer.weight.device.type == "cpu"
