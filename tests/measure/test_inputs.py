from __future__ import annotations

import random
import threading
from collections import namedtuple
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, RandomSampler, Sampler, TensorDataset

from lightning_primo.errors import InvalidArgumentError, NotMeasurableError
from lightning_primo.measure import call, count_flops, first_sample, model_inputs, peak_memory, sample_batch, to_device
from lightning_primo.measure.batches import draws_one, several_batches
from lightning_primo.measure.held_tensors import held_tensors
from lightning_primo.measure.inputs import Sample, one_sample
from lightning_primo.measure.isolation import explained, isolated, rng_kept

Pair = namedtuple("Pair", "x y")


class Echo(nn.Module):
    def forward(self, first: Any, second: Any = None) -> tuple[Any, Any]:
        return first, second


def test_call_follows_the_convention_of_example_input_array() -> None:
    assert call(Echo(), (1, 2)) == (1, 2)
    assert call(Echo(), {"second": 2, "first": 1}) == (1, 2)
    assert call(Echo(), [1, 2]) == ([1, 2], None)


def test_model_inputs_of_tensors_and_sequences() -> None:
    x, y = torch.zeros(2), torch.ones(2)
    assert model_inputs(x) is x
    assert model_inputs([x, y]) is x
    assert model_inputs(Pair(x, y)) is x
    assert model_inputs(((x, y), y)) == (x, y)
    with pytest.raises(NotMeasurableError, match="empty tuple"):
        model_inputs(())


def test_model_inputs_of_a_dict_are_what_forward_takes() -> None:
    assert model_inputs({"first": 1, "labels": 2}, Echo()) == {"first": 1}
    assert model_inputs({"first": 1, "labels": 2}) == {"first": 1, "labels": 2}
    with pytest.raises(NotMeasurableError, match=r"keys \['image', 'label'\].*'first', 'second'.*example_input_array"):
        model_inputs({"image": 1, "label": 2}, Echo())


def test_one_that_takes_a_whole_batch_gets_the_dict() -> None:
    class Typed(nn.Module):
        def forward(self, inputs: dict[str, Tensor]) -> Any:
            return inputs

    class Named(nn.Module):
        def forward(self, batch):  # type: ignore[no-untyped-def]
            return batch

    class Bare(nn.Module):
        def forward(self, inputs: Any) -> Any:
            return inputs

    Bare.forward.__annotations__["inputs"] = Mapping[str, Tensor]  # where annotations are no texts
    batch = {"_positions": torch.zeros(3, 3), "energy": torch.zeros(1)}
    for module in (Typed(), Named(), Bare()):
        assert call(module, model_inputs(batch, module)) == batch


def test_first_sample_crops_and_repeats_through_structures() -> None:
    x = torch.arange(6.0).reshape(3, 2)
    inputs = {"x": x, "pair": Pair(torch.arange(3), [torch.tensor(5.0), "text"])}
    one = first_sample(inputs)
    assert torch.equal(one["x"], x[:1])
    assert isinstance(one["pair"], Pair)
    assert one["pair"].x.tolist() == [0]
    assert one["pair"].y == [torch.tensor(5.0), "text"]
    assert first_sample(inputs, 5)["pair"].x.tolist() == [0, 1, 2, 0, 1]
    assert first_sample(x.to("meta"), 7).shape == (7, 2)
    assert x.shape == (3, 2)


def test_first_sample_leaves_as_it_is_what_need_not_be_cut() -> None:
    graph = {"x": torch.zeros(4, 2), "edge_index": torch.zeros(2, 7, dtype=torch.long)}
    assert first_sample(graph, None) is graph
    assert first_sample(graph, 4)["edge_index"].shape == (2, 7)
    assert first_sample(Sample(graph)) is first_sample(Sample(graph), None) is graph


class Graphs:
    """As a batch of graphs is: no tensor, but it goes to devices."""

    def to(self, device: Any) -> Graphs:
        return self


@pytest.mark.parametrize(
    "inputs",
    [
        (torch.zeros(4, 2), torch.zeros(2, 7), torch.zeros(4)),
        [torch.zeros(3, 8, 8), torch.zeros(3, 9, 5)],
        {"sequences": [torch.zeros(5, 2), torch.zeros(7, 2)]},
        Graphs(),
        Sample(torch.zeros(9, 2)),
    ],
    ids=["graph", "images", "ragged", "batch of graphs", "sample"],
)
def test_first_sample_refuses_what_has_no_first_row(inputs: Any) -> None:
    with pytest.raises(NotMeasurableError, match=r"'batch_size=None' .* by 'example_inputs'"):
        first_sample(inputs, 8)


def test_one_sample_is_marked_unless_it_is_a_batch_of_one() -> None:
    x = torch.zeros(1, 3)
    assert one_sample({"x": x, "scale": torch.tensor(2.0)})["x"] is x
    assert isinstance(one_sample((x, torch.zeros(2, 7))), Sample)
    assert isinstance(one_sample(Graphs()), Sample)
    loader = DataLoader(TensorDataset(x))
    assert draws_one({"a": loader, "b": [loader]})
    assert not draws_one([loader, [x]])
    assert not draws_one(DataLoader([x], batch_size=None))  # type: ignore[arg-type]


class MovesInPlace:
    """As batches of graphs of some libraries are: `to` changes what it is called on, and returns nothing or itself."""

    def __init__(self, nodes: Tensor, *, returns: bool = False) -> None:
        self.parts = {"nodes": nodes}
        self.returns = returns

    def to(self, device: Any) -> Any:
        self.parts["nodes"] = self.parts["nodes"].to(device)
        return self if self.returns else None


class OfNodes(nn.Module):
    """A linear layer for every node."""

    def __init__(self, *, looks: bool = False) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.looks = looks

    def forward(self, graph: Any) -> Tensor:
        nodes = graph.parts["nodes"]
        if self.looks and nodes.sum().item() != 20:
            raise ValueError("not those that were given")
        return self.layer(nodes)  # type: ignore[no-any-return]


@pytest.mark.parametrize("returns", [False, True])
@pytest.mark.parametrize("looks", [False, True], ids=["on meta", "where it is"])
def test_what_moves_in_place_is_measured_and_stays_where_it_was(looks: bool, returns: bool) -> None:
    nodes = torch.ones(5, 4)
    graph = MovesInPlace(nodes, returns=returns)
    moved = to_device({"graph": graph}, "meta")["graph"]
    assert moved.parts["nodes"].is_meta
    assert graph.parts["nodes"] is nodes
    assert to_device(graph, "cpu").parts["nodes"] is nodes
    assert count_flops(OfNodes(looks=looks), graph) == 5 * 4 * 3
    # Weights, inputs, outputs of four bytes each.
    assert peak_memory(OfNodes(), graph, device="cpu", batch_size=None) == 4 * (15 + 20 + 15)
    assert graph.parts["nodes"] is nodes


def test_what_holds_tensors_and_cannot_be_copied_is_refused() -> None:
    graph = MovesInPlace(torch.ones(5, 4))
    graph.parts["function"] = lambda: None  # type: ignore[assignment]
    assert to_device(graph, "meta").parts["nodes"].is_meta
    graph.parts["library"] = random  # type: ignore[assignment]
    with pytest.raises(NotMeasurableError, match=r"MovesInPlace cannot be copied to be moved .*'example_inputs'"):
        to_device(graph, "meta")


def test_what_cannot_be_pickled_is_passed_on_and_its_tensors_are_known(tmp_path: Path) -> None:
    class Nodes:  # which no other process could find
        def __init__(self, nodes: Tensor) -> None:
            self.parts = {"nodes": nodes, "lock": threading.Lock()}
            self.itself = self

    @dataclass
    class InSlots:
        __slots__ = ("y",)
        y: Tensor

    x, y = torch.ones(5, 4), torch.ones(3)
    assert peak_memory(OfNodes(), Nodes(x), device="cpu", batch_size=None) == 4 * (15 + 20 + 15)
    graph = Nodes(x)
    held = held_tensors([{"graph": graph, "again": x}, (InSlots(y), Nodes), y])
    assert [id(tensor) for tensor in held] == [id(x), id(y)]
    with pytest.raises(NotMeasurableError, match="a Nodes cannot be cut to 1 samples"):
        first_sample({"x": x, "graph": graph})
    with (tmp_path / "log").open("w") as file:
        one = first_sample({"x": x, "file": file})
        assert torch.equal(one["x"], x[:1])
        assert one["file"] is file


@dataclass(frozen=True)
class Fields:
    """A batch of a dataclass."""

    x: Tensor
    mask: Tensor
    labels: Any = None


class OfFields(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, fields: Any) -> Fields:
        return Fields(self.layer(fields.x) * fields.mask, fields.mask)


def test_what_is_beside_tensors_and_holds_none_is_passed_on() -> None:
    beside = (torch.zeros(4, 2), lambda: None, torch.Generator(), np.float64(2.0), 3, "text", torch.float32, range(3))
    assert first_sample(beside, 2)[1:] == beside[1:]
    assert peak_memory(Takes(), beside[:3], device="cpu", batch_size=4) == 4 * 8


def test_dataclasses_are_cut_moved_and_counted() -> None:
    x = torch.arange(20.0).reshape(5, 4)
    fields = Fields(x, torch.ones(5, 1), ["a name"])
    two = first_sample(fields, 2)
    assert torch.equal(two.x, x[:2])
    assert (two.mask.shape, two.labels) == ((2, 1), ["a name"])
    assert fields.x is x
    assert to_device(fields, "meta").mask.is_meta
    assert count_flops(OfFields(), first_sample(fields, 7)) == 7 * 4 * 3
    # Weights; then inputs, the layer's outputs and the masked ones.
    assert peak_memory(OfFields(), fields, device="cpu", batch_size=7) == 4 * (15 + 7 * (4 + 1 + 3 + 3))
    assert peak_memory(OfFields(), fields, device="cpu", batch_size=7, training=True) > 4 * (15 + 7 * (4 + 1 + 3 + 3))


class Takes(nn.Module):
    def forward(self, x: Any, mask: Any, other: Any = None) -> Any:
        return x


class TakesWhole(nn.Module):
    def forward(self, x: Fields) -> Any:
        return x


def test_named_fields_are_inputs_where_they_are_all_that_forward_requires() -> None:
    x, mask = torch.zeros(2, 4), torch.ones(2, 1)
    named = namedtuple("named", "mask labels x")
    assert model_inputs(Fields(x, mask), Takes()) == {"x": x, "mask": mask}
    assert model_inputs(named(mask, None, x), Takes()) == {"x": x, "mask": mask}
    assert model_inputs(Fields(x, mask), One()) == {"x": x}
    assert model_inputs(Pair(x, mask), Takes()) is x  # one argument is missing
    for module in (OfFields(), TakesWhole(), None):
        fields = Fields(x, mask)
        assert model_inputs(fields, module) is fields
    graph = Graphs()
    assert model_inputs(graph, Takes()) is graph


class Graph:
    """A graph as PyTorch Geometric has it: one object with attributes, which answers None for those that it lacks."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)

    def to(self, device: Any) -> Graph:
        return self


def test_attributes_are_inputs_where_several_arguments_are_named_like_them() -> None:
    x, mask = torch.zeros(2, 4), torch.ones(2, 1)
    graph = Graph(x=x, mask=mask, labels=torch.zeros(2))
    assert model_inputs(graph, Takes()) == {"x": x, "mask": mask}
    assert model_inputs(Graph(x=x, mask=mask, other=mask), Takes()) == {"x": x, "mask": mask, "other": mask}
    assert model_inputs(graph, One()) is graph
    lacking = Graph(x=x)
    assert model_inputs(lacking, Takes()) is lacking
    assert model_inputs(graph) is graph


class Opaque:
    """It holds tensors, and says nothing."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


@pytest.mark.parametrize(
    "inputs",
    [
        Opaque(torch.zeros(4, 2)),
        (torch.zeros(4, 2), Opaque(torch.zeros(4, 2))),
        nn.utils.rnn.pack_sequence([torch.zeros(4, 2)]),  # four steps of one sequence, in tensors that are as long
        Fields(torch.zeros(4, 2), torch.zeros(4, 1), Graphs()),
        ["a text", "another"],
        np.zeros((4, 2)),
    ],
    ids=["opaque", "beside", "packed", "in a dataclass", "texts", "array"],
)
def test_first_sample_refuses_what_it_does_not_see_through(inputs: Any) -> None:
    for n in (1, 8):
        with pytest.raises(NotMeasurableError, match=r"'batch_size=None' .* by 'example_inputs'"):
            first_sample(inputs, n)
    assert first_sample(inputs, None) is inputs
    assert isinstance(one_sample(inputs), Sample)


class One(nn.Module):
    def forward(self, x: Any) -> Any:
        return x


def test_a_dict_or_list_that_comes_first_is_spread_where_it_fits() -> None:
    pair = {"first": 1, "second": 2}
    assert model_inputs((pair, 0), Echo()) == pair
    assert model_inputs((pair, 0), One()) == (pair,)
    assert model_inputs(({"x": 1}, 0), One()) == {"x": 1}
    assert model_inputs(([1, 2], 0), Echo()) == [1, 2]
    assert model_inputs(([1, 2], 0), Two()) == (1, 2)
    with (
        pytest.raises(NotMeasurableError, match="as one positional argument to measure it failed"),
        explained(One(), ({"x": 1},)),
    ):
        raise ValueError
    with (
        pytest.raises(NotMeasurableError, match="as the keyword arguments 'x', 'y' to measure"),
        explained(One(), {"x": 1, "y": 1}),
    ):
        raise ValueError


def test_one_that_differentiates_is_told_that_costs_are_those_of_a_forward_alone() -> None:
    class Forces(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return torch.autograd.grad(x.square().sum(), x)

    with pytest.raises(NotMeasurableError, match=r"one that differentiates has no such FLOPs.*ParameterCount"):
        count_flops(Forces(), torch.ones(1, 3))


class Two(nn.Module):
    def forward(self, x: Any, y: Any) -> Any:
        return x, y


def test_first_sample_owns_its_storage() -> None:
    x = torch.zeros(100, 2)
    assert first_sample(x).untyped_storage().nbytes() == 8


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2"])
def test_first_sample_refuses_other_sizes(n: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'n' must be a whole number of at least 1"):
        first_sample(torch.zeros(2, 2), n)


def test_first_sample_of_an_empty_batch() -> None:
    with pytest.raises(NotMeasurableError, match="size 0"):
        first_sample(torch.zeros(0, 2))


def test_to_device_casts_floating_point_alone() -> None:
    moved = to_device((torch.zeros(2), torch.zeros(2, dtype=torch.long), None), "meta", torch.float16)
    assert [moved[0].dtype, moved[1].dtype] == [torch.float16, torch.int64]
    assert moved[0].is_meta
    assert moved[2] is None


class Noisy(Dataset[Tensor]):
    """Augments with all three global generators."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Tensor:
        return index + torch.rand(3) + random.random() + np.random.rand()  # noqa: NPY002


class Stream(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        return iter([torch.tensor([float(i)]) for i in range(4)])


class UsedUp(Stream):
    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        return torch.zeros(1)


def test_sample_batch_disturbs_neither_loader_nor_random_state() -> None:
    generator = torch.Generator().manual_seed(1)
    loader = DataLoader(Noisy(), batch_size=4, shuffle=True, generator=generator)
    before = (torch.get_rng_state(), np.random.get_state()[2], random.getstate(), generator.get_state())  # noqa: NPY002
    with rng_kept():
        batch = sample_batch(loader)
    after = (torch.get_rng_state(), np.random.get_state()[2], random.getstate(), generator.get_state())  # noqa: NPY002
    assert batch.shape == (1, 3)
    assert torch.equal(before[0], after[0])
    assert before[1:3] == after[1:3]
    assert torch.equal(before[3], after[3])


def test_sample_batch_of_every_kind_of_loader() -> None:
    x = torch.arange(4.0)[:, None]
    tuples = DataLoader(TensorDataset(x, x), batch_size=3)
    unbatched = DataLoader([x, x], batch_size=None)  # type: ignore[arg-type]
    assert [t.tolist() for t in sample_batch(tuples)] == [[[0.0]], [[0.0]]]
    assert sample_batch(unbatched).shape == (4, 1)
    assert sample_batch(DataLoader(Stream(), batch_size=2)).tolist() == [[0.0]]
    nested = sample_batch({"a": tuples, "b": [unbatched]})
    assert nested["b"][0].shape == (4, 1)
    by_lists = DataLoader(TensorDataset(x, x), batch_size=None, sampler=BatchSampler(RandomSampler(x), 3, False))
    assert [t.tolist() for t in sample_batch(by_lists)] == [[[0.0]], [[0.0]]]
    assert draws_one(by_lists)


class Map(Dataset[Tensor]):
    """A dataset that is asked for a region, and has no sample at an index, as one of rasters."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, region: slice) -> Tensor:
        return torch.arange(float(region.start), float(region.stop))


class Regions(Sampler[Any]):
    def __init__(self, batch_size: int | None = 2) -> None:
        self.batch_size = batch_size
        self.generator = torch.Generator().manual_seed(1)
        self.n_drawn = 0

    def __iter__(self) -> Iterator[Any]:
        for _ in range(3):
            self.n_drawn += 1
            starts = torch.randint(100, (self.batch_size or 1,), generator=self.generator).tolist()
            regions = [slice(start, start + 5) for start in starts]
            yield regions if self.batch_size else regions[0]


def test_a_dataset_without_indices_is_asked_for_what_its_sampler_gives_and_that_left_alone() -> None:
    by_batches = DataLoader(Map(), batch_sampler=Regions())
    one_by_one = DataLoader(Map(), batch_size=2, sampler=Regions(None))
    unbatched = DataLoader(Map(), batch_size=None, sampler=Regions(None))
    for loader, lengths in ((by_batches, [2, 2]), (one_by_one, [2, 1]), (unbatched, [5])):
        sampler: Any = loader.sampler if isinstance(loader.sampler, Regions) else loader.batch_sampler
        before = sampler.generator.get_state()
        assert sample_batch(loader).shape == ((5,) if loader is unbatched else (1, 5))
        assert [len(batch) for batch in several_batches(loader, 2)] == lengths
        assert torch.equal(sampler.generator.get_state(), before)
        assert sampler.n_drawn == 0


def test_sample_batch_says_what_to_do_when_there_is_none() -> None:
    with pytest.raises(NotMeasurableError, match="empty; set 'example_input_array'"):
        sample_batch(DataLoader(TensorDataset(torch.zeros(0, 1))))
    with pytest.raises(NotMeasurableError, match="use it up; set 'example_input_array'"):
        sample_batch(DataLoader(UsedUp()))
    with pytest.raises(NotMeasurableError, match="use it up"):
        sample_batch(iter([torch.zeros(1)]))
    with pytest.raises(NotMeasurableError, match=r"KeyError.*example_input_array"):
        sample_batch(DataLoader({"a": torch.zeros(1)}))  # type: ignore[arg-type]


class Forgetful(nn.Module):
    """Changes its buffers in its forward pass, one in place and one by assignment."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("last", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        self.last = x.sum()[None]
        result: Tensor = self.layers(x)
        return result


@pytest.mark.parametrize("training", [False, True])
def test_isolated_puts_everything_back(training: bool) -> None:
    module = Forgetful()
    module.layers[1].eval()
    module.layers[0].weight.grad = gradient = torch.ones(2, 2)
    modes = [child.training for child in module.modules()]
    buffers = {name: (buffer, buffer.clone()) for name, buffer in module.named_buffers()}
    state = torch.get_rng_state()
    with isolated(module, training=training):
        assert module.layers[1].training is training
        assert torch.is_grad_enabled() is training
        assert module.layers[0].weight.grad is None
        output = module(torch.rand(4, 2))
        if training:
            output.sum().backward()
    assert [child.training for child in module.modules()] == modes
    assert module.layers[0].weight.grad is gradient
    assert torch.equal(gradient, torch.ones(2, 2))
    assert module.layers[0].bias.grad is None
    assert torch.equal(torch.get_rng_state(), state)
    for name, buffer in module.named_buffers():
        assert buffer is buffers[name][0]
        assert torch.equal(buffer, buffers[name][1])


def test_isolated_puts_everything_back_after_an_error() -> None:
    module = Forgetful()
    with pytest.raises(ZeroDivisionError), isolated(module):
        raise ZeroDivisionError
    assert module.training
    assert torch.is_grad_enabled()


def test_several_batches_are_of_the_loaders_size_and_leave_it_alone() -> None:
    data = TensorDataset(torch.arange(10))
    loader = DataLoader(data, batch_size=4, shuffle=True)
    before = torch.get_rng_state()
    with rng_kept():
        batches = several_batches(loader, 2)
        assert [batch[0].tolist() for batch in several_batches(loader, 2)] == [batch[0].tolist() for batch in batches]
    assert torch.equal(torch.get_rng_state(), before)
    assert [len(batch[0]) for batch in batches] == [4, 4]
    assert sorted(value for batch in several_batches(loader, 9) for value in batch[0].tolist()) == list(range(10))
    assert len(several_batches([torch.ones(3, 1)], 5)) == 1
    sampler = BatchSampler(RandomSampler(data), 4, drop_last=False)
    for one in (DataLoader(data, batch_size=None, sampler=sampler), DataLoader(data, batch_sampler=sampler)):
        with rng_kept():
            drawn = several_batches(one, 2)
        assert [batch[0].tolist() for batch in drawn] == [batch[0].tolist() for batch in batches]
    assert [len(batch[0]) for batch in several_batches(DataLoader(data, batch_sampler=[[0, 1]]), 3)] == [1]
