from __future__ import annotations

import copy
import pickle
import re
import sys
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from lightning_primo.errors import InvalidArgumentError, NotMeasurableError, UncountedOperatorError
from lightning_primo.measure import count_flops, operators
from lightning_primo.measure.isolation import copied, explained

torchvision = pytest.importorskip("torchvision")


class Compute(nn.Module):
    """A function of the inputs, as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


class LooksAtValues(nn.Module):
    """Cannot run on the meta device."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, *inputs: Tensor) -> Any:
        return self.body(*inputs) if inputs[0].sum().item() < 1e9 else inputs


class Embedded(nn.Module):
    """Looks up what its input, cut to whole numbers, names."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Any:
        return self.body(x.long())


class Attention(nn.Module):
    """Of a sequence to itself."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Any:
        return self.body(x, x, x)


def small_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 5)
    )


SMALL = 8 * 3 * 9 * 64 + 128 * 5

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    # What is counted: output positions x kernel size x input channels per group x output channels.
    "conv1d": (lambda: nn.Conv1d(4, 6, 5), (2, 4, 20), 2 * 16 * 5 * 4 * 6),
    "conv2d": (lambda: nn.Conv2d(3, 8, 3, padding=1), (1, 3, 10, 12), 10 * 12 * 9 * 3 * 8),
    "conv2d without batch": (lambda: nn.Conv2d(3, 8, 3, padding=1), (3, 10, 12), 10 * 12 * 9 * 3 * 8),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), (1, 2, 4, 4, 4), 27 * 8 * 2 * 3),
    "strided": (lambda: nn.Conv2d(3, 8, 3, stride=2, padding=1), (1, 3, 16, 16), 8 * 8 * 9 * 3 * 8),
    "transposed dilated": (lambda: nn.ConvTranspose1d(4, 6, 3, dilation=2), (1, 4, 5), 5 * 3 * 4 * 6),
    "embedding": (lambda: Embedded(nn.Embedding(30, 8)), (2, 5), 0),
    "embedding bag": (lambda: Embedded(nn.EmbeddingBag(30, 8)), (2, 5), 0),
    "multi-head attention": (
        lambda: Attention(nn.MultiheadAttention(8, 2, batch_first=True)),
        (3, 5, 8),
        3 * (5 * 8 * 24 + 2 * 5 * 5 * 8 + 5 * 8 * 8),
    ),
    "dilated": (lambda: nn.Conv2d(3, 8, 3, dilation=2), (1, 3, 16, 16), 12 * 12 * 9 * 3 * 8),
    "grouped": (lambda: nn.Conv2d(8, 16, 3, padding=1, groups=4), (1, 8, 5, 5), 25 * 9 * 2 * 16),
    "depthwise": (lambda: nn.Conv2d(8, 8, 3, padding=1, groups=8), (1, 8, 5, 5), 25 * 9 * 8),
    # A transposed convolution multiplies each input value with each weight of its channel.
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2), (1, 4, 5, 5), 25 * 9 * 4 * 6),
    "transposed grouped": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (1, 4, 5, 5), 25 * 9 * 2 * 6),
    "linear": (lambda: nn.Linear(7, 11), (3, 7), 3 * 7 * 11),
    "linear without bias": (lambda: nn.Linear(7, 11, bias=False), (3, 7), 3 * 7 * 11),
    "linear of one vector": (lambda: nn.Linear(7, 11), (7,), 7 * 11),
    "linear of one vector without bias": (lambda: nn.Linear(7, 11, bias=False), (7,), 7 * 11),
    "linear of a sequence": (lambda: nn.Linear(7, 11), (2, 5, 7), 2 * 5 * 7 * 11),
    "lstm": (lambda: nn.LSTM(4, 8, batch_first=True), (2, 3, 4), 2 * 3 * 4 * 8 * (4 + 8)),
    "gru": (lambda: nn.GRU(4, 8, batch_first=True), (2, 3, 4), 2 * 3 * 3 * 8 * (4 + 8)),
    "transformer layer": (
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        (1, 5, 8),
        5 * 8 * 24 + 2 * 5 * 5 * 8 + 5 * 8 * 8 + 2 * 5 * 8 * 16,
    ),
    "free of charge": (
        lambda: nn.Sequential(
            nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm(6), nn.InstanceNorm2d(4), nn.ReLU(), nn.GELU(),
            nn.Hardswish(), nn.SiLU(), nn.ELU(), nn.ReLU6(), nn.Hardsigmoid(), nn.LeakyReLU(), nn.Mish(), nn.Dropout(),
            nn.MaxPool2d(2), nn.Upsample(scale_factor=2), nn.AdaptiveAvgPool2d(2), nn.Softmax(-1),
        ),
        (2, 4, 6, 6),
        0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_closed_form_of_layers_on_meta_on_cpu_and_by_running(name: str) -> None:
    build, shape, expected = LAYERS[name]
    module = build()
    inputs = torch.rand(shape)
    with torch.device("meta"):
        on_meta = build()
    assert count_flops(on_meta, inputs) == expected
    assert count_flops(module, inputs) == expected
    assert count_flops(LooksAtValues(module), inputs) == expected


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...], int]] = {
    "mm": (lambda a, b: a @ b, ((2, 3), (3, 5)), 30),
    "bmm": (torch.bmm, ((4, 2, 3), (4, 3, 5)), 120),
    "broadcast matmul": (lambda a, b: a @ b, ((4, 2, 3), (3, 5)), 120),
    "baddbmm": (torch.baddbmm, ((4, 2, 5), (4, 2, 3), (4, 3, 5)), 120),
    "addbmm": (torch.addbmm, ((2, 5), (4, 2, 3), (4, 3, 5)), 120),
    "mv": (torch.mv, ((2, 3), (3,)), 6),
    "addmv": (torch.addmv, ((2,), (2, 3), (3,)), 6),
    "dot": (torch.dot, ((7,), (7,)), 7),
    "addr": (torch.addr, ((2, 3), (2,), (3,)), 6),
    "einsum": (lambda a, b: torch.einsum("bij,bjk->bik", a, b), ((4, 2, 3), (4, 3, 5)), 120),
    "attention": (
        functional.scaled_dot_product_attention,
        ((2, 4, 6, 8), (2, 4, 7, 8), (2, 4, 7, 8)),
        2 * 4 * 6 * 7 * 8 * 2,
    ),
    "bilinear": (functional.bilinear, ((5, 2), (5, 3), (4, 2, 3)), 5 * 4 * 2 * 3),
    "norms": (lambda a: functional.normalize(a).norm(), ((4, 5),), 0),
    "elementwise": (lambda a, b: torch.softmax(a * b + a, -1).mean(), ((4, 5), (4, 5)), 0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_closed_form_of_products_on_meta_and_by_running(name: str) -> None:
    function, shapes, expected = FUNCTIONS[name]
    inputs = tuple(torch.rand(shape) for shape in shapes)
    assert count_flops(Compute(function), inputs) == expected
    assert count_flops(LooksAtValues(Compute(function)), inputs) == expected


def test_in_inference_mode_composite_operators_are_taken_apart() -> None:
    module = Compute(torch.inference_mode()(nn.Linear(3, 4).forward))
    assert count_flops(LooksAtValues(module), torch.rand(2, 3)) == 24


def test_given_per_batch() -> None:
    assert count_flops(small_network(), torch.rand(4, 3, 8, 8)) == 4 * SMALL


def test_keyword_and_positional_inputs() -> None:
    class Two(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return a @ b

    a, b = torch.rand(2, 3), torch.rand(3, 5)
    assert count_flops(Two(), (a, b)) == count_flops(Two(), {"b": b, "a": a}) == 30


@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v3_small", "vit_b_16"])
def test_agrees_with_flop_counter_mode_and_published_numbers(model: str) -> None:
    with torch.device("meta"):
        module = torchvision.models.get_model(model)
    inputs = torch.empty(1, 3, 224, 224, device="meta")
    counted = count_flops(module, inputs)
    assert module.training
    with FlopCounterMode(display=False) as reference, torch.no_grad():
        module.eval()(inputs)
    assert counted == reference.get_total_flops() // 2
    published = torchvision.models.get_model_weights(model).DEFAULT.meta["_ops"]
    assert round(counted / 1e9, 3) == published


@pytest.mark.filterwarnings("ignore")
def test_agrees_with_fvcore_and_by_running() -> None:
    fvcore = pytest.importorskip("fvcore.nn")
    module = torchvision.models.mobilenet_v3_small(num_classes=10).eval()
    inputs = torch.rand(1, 3, 32, 32)
    reference = fvcore.FlopCountAnalysis(module, inputs).unsupported_ops_warnings(False).by_operator()
    assert set(reference) == {"conv", "linear", "batch_norm", "adaptive_avg_pool2d"}
    counted = count_flops(module, inputs)
    assert counted == reference["conv"] + reference["linear"]
    assert count_flops(LooksAtValues(module), inputs) == counted


@pytest.mark.parametrize("wrap", [nn.Sequential, LooksAtValues])
def test_leaves_no_trace(wrap: Callable[[nn.Module], nn.Module]) -> None:
    module = wrap(small_network())
    body = next(child for child in module.modules() if isinstance(child, nn.BatchNorm2d))
    body.momentum = None
    body.eval()
    modes = [child.training for child in module.modules()]
    state = copy.deepcopy(module.state_dict())
    parameters = list(module.parameters())
    inputs = torch.rand(1, 3, 8, 8)
    kept, random_state = inputs.clone(), torch.get_rng_state()
    assert count_flops(module, inputs) == SMALL
    assert [child.training for child in module.modules()] == modes
    assert all(a is b for a, b in zip(parameters, module.parameters(), strict=True))
    assert all(parameter.grad is None and parameter.requires_grad for parameter in parameters)
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert torch.equal(inputs, kept)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.backends.mha.get_fastpath_enabled()


def test_statistics_of_batch_norm_that_is_always_in_training_mode_stay() -> None:
    body = nn.BatchNorm1d(3)
    module = LooksAtValues(
        Compute(lambda x: functional.batch_norm(x, body.running_mean, body.running_var, training=True))
    )
    module.register_module("norm", body)
    assert count_flops(module, torch.rand(4, 3)) == 0
    assert torch.equal(body.running_mean, torch.zeros(3))


def test_operators_without_a_formula_make_the_count_an_error_that_names_them() -> None:
    module = Compute(lambda x: torch.fft.rfft(x @ x).abs().sum() + torch.cdist(x, x).sum())
    for wrapped in (module, LooksAtValues(module)):
        with pytest.raises(UncountedOperatorError, match=r"aten\._cdist_forward, aten\._fft_r2c: .*'ignore'") as caught:
            count_flops(wrapped, torch.rand(4, 4))
        assert caught.value.operators == ("aten._cdist_forward", "aten._fft_r2c")
        assert count_flops(wrapped, torch.rand(4, 4), uncounted="ignore") == 64
    with pytest.raises(InvalidArgumentError, match="'uncounted' must be 'error' or 'ignore', got 'warn'"):
        count_flops(module, torch.rand(4, 4), uncounted="warn")  # type: ignore[arg-type]


def test_custom_operators_are_an_error_until_they_have_a_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    @torch.library.custom_op("primo_tests::scale", mutates_args=())
    def scale(x: Tensor) -> Tensor:
        return x * 2

    @scale.register_fake
    def _(x: Tensor) -> Tensor:
        return torch.empty_like(x)

    with pytest.raises(UncountedOperatorError, match=r"primo_tests\.scale"):
        count_flops(Compute(scale), torch.rand(5))
    assert count_flops(Compute(scale), torch.rand(5), uncounted="ignore") == 0
    monkeypatch.setitem(operators.flop_registry, torch.ops.primo_tests.scale, lambda x, out_val: 2 * x.numel())
    assert count_flops(Compute(scale), torch.rand(5)) == 5


def test_products_in_place_count_like_their_twins() -> None:
    a, b, c = torch.rand(2, 5), torch.rand(2, 3), torch.rand(3, 5)
    assert count_flops(Compute(lambda a, b, c: a.clone().addmm_(b, c)), (a, b, c)) == 30
    assert count_flops(Compute(lambda a, b: a[:, 0].clone().addmv_(a, b)), (b, b[0])) == 6


def test_no_arithmetic_of_torch_passes_for_free() -> None:
    """Every operator whose name speaks of products is counted, refused, or one of those listed as free."""
    names = {name.partition("::")[2].partition(".")[0] for name in torch._C._dispatch_get_all_op_names()}
    speaks = re.compile(
        r"(mm|mv|matmul|conv\d|convolution|attention|rnn|lstm|fft_|linalg|cholesky|gemm|(?<!re)solve)(_|$)"
    )
    free = {
        name
        for name in names
        if hasattr(torch.ops.aten, name) and not name.endswith("backward")
        if speaks.search(name) and not name.startswith(("special", "sparse_", "cufft", "_cufft"))
        if operators.formula_of(getattr(torch.ops.aten, name)) is None and not operators.does_arithmetic("aten", name)
    }
    assert free <= operators.FREE_OPERATORS


class Packed(nn.Module):
    """A recurrent layer over sequences of several lengths, which the meta device cannot pack."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor, lengths: Tensor) -> Any:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return self.body(packed)[0].data


RECURRENT: dict[str, tuple[Callable[[], nn.Module], int]] = {
    # Multiply-adds of one step of one sequence: gates x hidden x (inputs + hidden), layer by layer.
    "lstm": (lambda: nn.LSTM(10, 20, batch_first=True), 4 * 20 * 30),
    "gru": (lambda: nn.GRU(10, 20, batch_first=True), 3 * 20 * 30),
    "rnn": (lambda: nn.RNN(10, 20, batch_first=True), 20 * 30),
    "both directions, two layers": (
        lambda: nn.LSTM(10, 20, num_layers=2, bidirectional=True, batch_first=True),
        2 * 4 * 20 * 30 + 2 * 4 * 20 * 60,
    ),
    "projected": (lambda: nn.LSTM(10, 20, proj_size=5, batch_first=True), 4 * 20 * 15 + 20 * 5),
}


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers_count_wherever_they_run(name: str) -> None:
    build, per_step = RECURRENT[name]
    x = torch.rand(1, 5, 10)
    assert count_flops(build(), x) == 5 * per_step
    assert count_flops(LooksAtValues(build()), x) == 5 * per_step
    assert count_flops(Packed(build()), (torch.rand(3, 6, 10), torch.tensor([2, 6, 3]))) == 11 * per_step


def test_what_meets_in_a_cudnn_kernel_is_each_matrix_and_each_step() -> None:
    lstm = nn.LSTM(10, 20, num_layers=2)
    formula = operators.formula_of(torch.ops.aten._cudnn_rnn)
    assert formula is not None
    assert formula(torch.rand(5, 3, 10), lstm._flat_weights) == 2 * 15 * (4 * 20 * 30 + 4 * 20 * 40)


def test_heads_that_share_keys_and_values_are_computed_for_every_query() -> None:
    q, k = torch.rand(2, 8, 6, 16), torch.rand(2, 2, 7, 16)
    grouped = Compute(lambda q, k: functional.scaled_dot_product_attention(q, k, k, enable_gqa=True))
    assert count_flops(grouped, (q, k)) == count_flops(LooksAtValues(grouped), (q, k)) == 2 * 2 * 8 * 6 * 7 * 16


def test_sparse_products_are_refused() -> None:
    matrix = torch.eye(4).to_sparse()
    with pytest.raises(UncountedOperatorError, match=r"mm on sparse or nested tensors|aten\._sparse"):
        count_flops(Compute(lambda x: torch.sparse.mm(matrix, x)), torch.rand(4, 3))


def test_a_module_that_knows_its_device_counts_there() -> None:
    class Positions(nn.Module):
        """Makes its constants where its weights are, as a LightningModule does with `self.device`."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(3, 4))

        def forward(self, x: Tensor) -> Tensor:
            return (x + torch.arange(3, device=self.weight.device)) @ self.weight

    with torch.device("meta"):
        on_meta = Positions()
    assert count_flops(Positions(), torch.rand(2, 3)) == count_flops(on_meta, torch.rand(2, 3)) == 24


def test_compiled_modules_are_counted_eagerly() -> None:
    compiled = torch.compile(nn.Linear(3, 4), backend="eager")
    assert "torch._dynamo" in sys.modules
    assert count_flops(compiled, torch.rand(2, 3)) == 24


def test_errors_say_what_to_do() -> None:
    with torch.device("meta"):
        on_meta = LooksAtValues(nn.Linear(3, 4))
    with pytest.raises(NotMeasurableError, match="build it on the CPU"):
        count_flops(on_meta, torch.rand(2, 3))
    with pytest.raises(
        NotMeasurableError, match=r"calling Linear with Tensor inputs .*\(2, 5\) float32.*example_input"
    ):
        count_flops(nn.Linear(3, 4), torch.rand(2, 5))
    with pytest.raises(NotMeasurableError, match="lazy parameters"):
        count_flops(nn.LazyLinear(3), torch.rand(2, 5))
    for formless in (nn.Module, pl.LightningModule):  # as an adversarial network of several parts
        for inputs in (torch.rand(2, 5), {"seq": torch.rand(2, 5)}):
            with pytest.raises(NotMeasurableError, match=r"Module has no forward.*generator"):
                count_flops(formless(), inputs)


def test_modules_that_cannot_be_copied_are_run() -> None:
    class Uncopiable(nn.Linear):
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("no copies")

    assert count_flops(Uncopiable(3, 4), torch.rand(2, 3)) == 24


def test_a_copy_that_would_call_the_original_is_none() -> None:
    class Patched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList([nn.Linear(3, 4), nn.Linear(3, 2)])
            self.parts.forward = lambda x: torch.cat([part(x) for part in self.parts], dim=1)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.parts(x)
            return out

    assert count_flops(Patched(), torch.rand(1, 3)) == 18
    with pytest.raises(NotMeasurableError, match=r"Patched keeps the function 'parts.forward'.*method"):
        copied(Patched(), device=torch.device("cpu"))


class KeepsItsLoss(nn.Module):
    """A module with a function over itself among its attributes, which it may call."""

    def __init__(self, *, calls: bool = False) -> None:
        super().__init__()
        self.net = nn.Linear(3, 4)
        self.calls = calls
        self.size = lambda x: self.net(x).square().mean()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out + self.size(x) if self.calls else out


def test_a_function_over_the_module_is_refused_where_it_is_called() -> None:
    module, x = KeepsItsLoss(), torch.rand(2, 3)
    clone = copied(module, device=torch.device("cpu"), dtype=torch.float64)
    assert clone(x.double()).dtype is torch.float64
    for again in (pickle.loads(pickle.dumps(clone)), torch.export.export(clone, (x.double(),)).module()):
        torch.testing.assert_close(again(x.double()), clone(x.double()))
    assert module.size(x) == module.net(x).square().mean()
    calling = KeepsItsLoss(calls=True)
    clone = copied(calling, device=torch.device("cpu"))
    with (
        pytest.raises(NotMeasurableError, match=r"KeepsItsLoss keeps the function 'size'.*method"),
        explained(clone, x),
    ):
        clone(x)
    assert count_flops(calling, x) == 2 * count_flops(module, x)  # by the module itself
